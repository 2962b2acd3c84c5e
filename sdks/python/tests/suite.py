"""The language of `sdks/suite.json`, as `sdks/README.md` tells it: arguments out of it, and results against it."""

from __future__ import annotations

import base64
import dataclasses
import json
import re
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from cometql import Algorithm, Claims, NewPublication, TokenKey

UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
YEAR_2020 = 1_577_836_800


def argument(given: Any, kept: Mapping[str, Any]) -> Any:
    """What stands in the suite, with everything that stands for something else replaced."""
    if isinstance(given, str) and given.startswith("$"):
        return kept[given[1:]]
    if isinstance(given, list):
        return [argument(item, kept) for item in given]
    if not isinstance(given, dict):
        return given
    if "$repeat" in given:
        text, count = given["$repeat"]
        return text * count
    if "$list" in given:
        item, count = given["$list"]
        return [argument(item, kept)] * count
    if "$blob" in given:
        return bytes.fromhex(given["$blob"])
    return {name: argument(value, kept) for name, value in given.items()}


def told(result: Any) -> Any:
    """A result as the suite writes it."""
    if isinstance(result, datetime):
        return int(result.timestamp())
    if isinstance(result, bytes):
        return {"$blob": result.hex()}
    if isinstance(result, list):
        return [told(item) for item in result]
    if dataclasses.is_dataclass(result):
        return {field.name: told(getattr(result, field.name)) for field in dataclasses.fields(result)}
    return result


def agrees(expected: Any, found: Any, kept: dict[str, Any]) -> bool:
    """Whether a result is what the suite says."""
    if isinstance(expected, str) and expected.startswith("$"):
        return _agrees_with_word(expected[1:], found, kept)
    if isinstance(expected, dict):
        return _agrees_with_object(expected, found, kept)
    if isinstance(expected, list):
        return (
            isinstance(found, list)
            and len(found) == len(expected)
            and all(agrees(one, other, kept) for one, other in zip(expected, found, strict=True))
        )
    return type(expected) is type(found) and bool(expected == found)


def _agrees_with_word(word: str, found: Any, kept: dict[str, Any]) -> bool:
    if word == "any":
        return True
    if word == "text":
        return isinstance(found, str)
    if word == "number":
        return isinstance(found, int) and found >= 0
    if word == "uuid":
        return isinstance(found, str) and UUID.fullmatch(found) is not None
    if word == "time":
        return isinstance(found, int) and found > YEAR_2020
    if word.startswith("keep "):
        kept[word.removeprefix("keep ")] = found
        return True
    return bool(kept[word] == found)


def _agrees_with_object(expected: dict[str, Any], found: Any, kept: dict[str, Any]) -> bool:
    if "$repeat" in expected:
        return bool(argument(expected, kept) == found)
    if "$length" in expected:
        return isinstance(found, list) and len(found) == expected["$length"]
    if "$claims" in expected:
        return agrees(expected["$claims"], claims_of(found), kept)
    return (
        isinstance(found, dict)
        and found.keys() == expected.keys()
        and all(agrees(value, found[name], kept) for name, value in expected.items())
    )


def claims_of(token: str) -> Any:
    """The middle part of a token."""
    middle = token.split(".")[1]
    return json.loads(base64.urlsafe_b64decode(middle + "=" * (-len(middle) % 4)))


def called(name: str, given: list[Any]) -> tuple[list[Any], dict[str, Any]]:
    """The arguments as this language takes them."""
    if name == "publish":
        record = dict(given[0])
        return [record.pop("channel"), record.pop("message")], record
    if name == "publish_many":
        return [[NewPublication(**record) for record in given[0]]], {}
    if name == "send_to_user":
        record = dict(given[0])
        return [record.pop("user"), record.pop("message")], record
    if name == "send_to_users":
        return given[:2], {"event": given[2], "id": given[3]}
    if name in ("history", "set_channel_settings"):
        return given[:1], given[1]
    if name == "mint_token":
        key = dict(given[0])
        if "algorithm" in key:
            key["algorithm"] = Algorithm(key["algorithm"])
        return [TokenKey(**key), Claims(**given[1])], {}
    return given, {}
