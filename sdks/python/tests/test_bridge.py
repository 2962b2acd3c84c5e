"""What stands in place of generated code has the fields of what was generated, in its order."""

from __future__ import annotations

import ast
import dataclasses
import enum
import inspect
import pathlib

import cometql._bridge as bridge
import pytest
from cometql import errors, listening, records

SOURCE = pathlib.Path(bridge.native.__file__)


def arguments(function: ast.FunctionDef) -> list[str]:
    return [one.arg for one in (*function.args.args, *function.args.kwonlyargs) if one.arg != "self"]


def generated() -> dict[str, list[str]]:
    """Class name to the arguments of its constructor, nested classes as `Outer.Inner`."""
    found: dict[str, list[str]] = {}

    def visit(nodes: list[ast.stmt], prefix: str) -> None:
        for node in nodes:
            if isinstance(node, ast.ClassDef):
                visit(node.body, f"{prefix}{node.name}.")
            elif isinstance(node, ast.FunctionDef) and node.name == "__init__":
                found[prefix[:-1]] = arguments(node)

    visit(ast.parse(SOURCE.read_text(encoding="utf-8")).body, "")
    return found


GENERATED = generated()


def fields(kind: type) -> list[str]:
    if dataclasses.is_dataclass(kind):
        return [field.name for field in dataclasses.fields(kind)]
    return [name for name in inspect.signature(kind).parameters]


REPLACED = {**records.FROM_LIBRARY, **listening.FROM_LIBRARY}
RECORDS = {name: record for name, record in REPLACED.items() if not issubclass(record, enum.Enum)}


@pytest.mark.parametrize("name", sorted(RECORDS))
def test_records_have_the_fields_of_the_library(name: str) -> None:
    assert sorted(fields(RECORDS[name])) == sorted(GENERATED[name])


@pytest.mark.parametrize("name", sorted(listening.EVENTS))
def test_events_have_the_fields_of_the_library(name: str) -> None:
    assert fields(listening.EVENTS[name]) == GENERATED[f"Event.{name}"]


@pytest.mark.parametrize("kind", errors.FROM_LIBRARY)
def test_errors_have_the_fields_of_the_library(kind: type[errors.CometError]) -> None:
    names = list(inspect.signature(kind).parameters)
    assert names == GENERATED.get(f"CometError.{kind.__name__}", [])


def test_nothing_of_the_library_is_left_out() -> None:
    ours = set(RECORDS) | {f"Event.{name}" for name in listening.EVENTS}
    ours |= {f"CometError.{kind.__name__}" for kind in errors.FROM_LIBRARY}
    # Made of one value, or given to the library only.
    ours |= {"Event.PUBLICATION", "Event.MESSAGE"} | {name for name in GENERATED if name.startswith(("Value.", "Credentials."))}
    objects = {"BlockingClient", "Client", "BlockingSubscription", "Subscription", "Value", "Event", "Credentials"}
    assert {name for name in GENERATED if not name.startswith("_")} - ours - objects == set()


def test_algorithms_are_those_of_the_library() -> None:
    tree = ast.parse(SOURCE.read_text(encoding="utf-8"))
    kind = next(node for node in tree.body if isinstance(node, ast.ClassDef) and node.name == "Algorithm")
    names = [node.targets[0].id for node in kind.body if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name)]
    assert names == [one.name for one in records.Algorithm]


def test_defaults_are_those_of_the_library() -> None:
    tree = ast.parse(SOURCE.read_text(encoding="utf-8"))
    for record in (records.Options, listening.Listening):
        kind = next(node for node in tree.body if isinstance(node, ast.ClassDef) and node.name == record.__name__)
        made = next(node for node in kind.body if isinstance(node, ast.FunctionDef) and node.name == "__init__")
        ours = record()
        for argument, default in zip(made.args.kwonlyargs, made.args.kw_defaults, strict=True):
            if isinstance(default, ast.Constant):
                assert getattr(ours, argument.arg) == default.value, argument.arg
