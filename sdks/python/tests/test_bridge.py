"""What stands in place of generated code has the fields and the bytes of what was generated."""

from __future__ import annotations

import ast
import ctypes
import dataclasses
import enum
import importlib.util
import inspect
import pathlib
from typing import Any

import cometql._bridge as bridge
import pytest
import samples
from cometql import errors, listening, records
from cometql._library import native

SOURCE = pathlib.Path(native.__file__)


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
    assert set(fields(RECORDS[name])) == set(GENERATED[name])


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


def as_generated() -> Any:
    """The generated module once more, with nothing in it replaced."""
    spec = importlib.util.spec_from_file_location("generated_once_more", SOURCE)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


PURE = as_generated()


def pure(value: Any) -> Any:
    """One of our records as a generated one."""
    if isinstance(value, enum.Enum):
        return getattr(getattr(PURE, type(value).__name__), value.name)
    if isinstance(value, list):
        return [pure(item) for item in value]
    if isinstance(value, listening.Hash):
        return PURE.Credentials.HASH(user=value.user, hash=value.hash)
    name = NAMES.get(type(value))
    if name is None:
        return value
    given = {key: pure(item) for key, item in samples.fields(value).items()}
    if isinstance(value, records.Answer):
        kinds = {type(None): PURE.Value.NULL, int: PURE.Value.INT, str: PURE.Value.TEXT, bytes: PURE.Value.BLOB}
        kinds[float] = PURE.Value.FLOAT
        given["rows"] = [[kinds[type(one)](*([] if one is None else [one])) for one in row] for row in value.rows]
    return getattr(PURE, name)(**given)


NAMES = {record: name for name, record in REPLACED.items()}
CONVERTED = [value for value in samples.RECORDS if type(value) in NAMES]


def pure_bytes(converter: Any, value: Any) -> bytes:
    """As the generated converter writes them."""
    buffer = converter.lower(value)
    written = ctypes.string_at(buffer.data, buffer.len)
    buffer.free()
    return written


def converters(name: str) -> tuple[Any, Any]:
    """The generated one, and ours."""
    return getattr(PURE, f"_UniffiFfiConverterType{name}"), getattr(native, f"_UniffiFfiConverterType{name}")


def ours_of(converter: Any, data: bytes) -> Any:
    """What our converter makes of bytes that come from the library."""
    return converter.lift(bridge._buffer(data))


@pytest.mark.parametrize("value", CONVERTED, ids=lambda value: type(value).__name__)
def test_records_have_the_bytes_of_the_library(value: Any) -> None:
    generated, our = converters(NAMES[type(value)])
    expected = pure_bytes(generated, pure(value))
    given = bridge.plan(value) if isinstance(value, listening.Listening) else value
    if not isinstance(value, records.Answer):
        builder = bridge._Builder()
        our.write(given, builder)
        assert bytes(builder.gathered) == expected
    if not isinstance(value, listening.Listening):
        back = ours_of(our, expected)
        assert type(back) is type(value)
        assert samples.fields(back) == samples.fields(value)


@pytest.mark.parametrize("id", [None, "an id"])
def test_publications_have_the_bytes_of_the_library(id: str | None) -> None:
    generated, _ = converters("NewPublication")
    expected = PURE.NewPublication(channel="web_é", message="m 🎉", event="e", id=id)
    assert bridge._packed_publication("web_é", "m 🎉", "e", id) == pure_bytes(generated, expected)


@pytest.mark.parametrize("name", sorted(listening.EVENTS))
def test_events_come_as_the_library_sends_them(name: str) -> None:
    (event,) = (value for value in samples.RECORDS if type(value) is listening.EVENTS[name])
    given = {key: pure(value) for key, value in samples.fields(event).items()}
    generated, our = converters("Event")
    assert ours_of(our, pure_bytes(generated, getattr(PURE.Event, name)(**given))) == event


@pytest.mark.parametrize("error", samples.ERRORS, ids=lambda error: type(error).__name__)
def test_errors_come_as_the_library_sends_them(error: errors.CometError) -> None:
    names = inspect.signature(type(error)).parameters
    generated, our = converters("CometError")
    raised = getattr(PURE.CometError, type(error).__name__)(*(getattr(error, name) for name in names))
    back = ours_of(our, pure_bytes(generated, raised))
    assert type(back) is type(error) and samples.fields(back) == samples.fields(error)
