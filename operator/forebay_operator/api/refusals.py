"""Says in sentences why an object is refused: which field, what was found there, and what to write instead."""

import difflib
import functools
import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final, cast

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from forebay_operator.api.rules import RuleBroken
from forebay_operator.api.schema import Json, structural_schema
from forebay_operator.api.v1alpha1 import ModelDeployment

Path = tuple[str | int, ...]

_SHOWN: Final = 60
_KINDS: Final = {
    "boolean": "true or false",
    "integer": "a whole number",
    "number": "a number",
    "string": "a text",
    "array": "a list",
    "object": "a mapping",
}
_TYPE_ERRORS: Final = ("_type", "_parsing", "_from_float", "int_or_text")
_BOUND_ERRORS: Final = {"greater_than_equal", "less_than_equal", "greater_than", "less_than"}
_LENGTH_ERRORS: Final = {"too_long", "too_short", "string_too_long", "string_too_short"}


@dataclass(frozen=True, slots=True)
class Refusal:
    """One thing that is wrong with an object."""

    path: Path
    """Where: names of fields and positions in lists, from the top of the object."""
    message: str
    """What is wrong, with the value seen."""
    remedy: str
    """What to do; may be empty where the message says it."""

    @property
    def field(self) -> str:
        return dotted(self.path)


def dotted(path: Path) -> str:
    """`spec.model.inputs[0].name`."""
    text = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in path)
    return text.removeprefix(".")


def refusals(error: ValidationError) -> tuple[Refusal, ...]:
    """Everything that reading a ModelDeployment found wrong."""
    errors = [details for details in error.errors(include_url=False) if not _is_echo(details)]
    return tuple(refusal for details in errors for refusal in _refusals(details))


def _is_echo(details: ErrorDetails) -> bool:
    """A list with a wrong item is also called too short by pydantic, which counts the right ones only."""
    return details["type"] == "too_short" and _length(details["input"]) >= details.get("ctx", {}).get("min_length", 0)


def _refusals(details: ErrorDetails) -> Iterator[Refusal]:
    broken = details.get("ctx", {}).get("error")
    if isinstance(broken, RuleBroken):
        yield from _broken_rules(details, broken)
    else:
        message, remedy = _explained(details)
        yield Refusal(details["loc"], message, remedy)


def _broken_rules(details: ErrorDetails, broken: RuleBroken) -> Iterator[Refusal]:
    for violation in broken.violations:
        below = tuple(violation.field.split(".")) if violation.field else ()
        cause, _, remedy = violation.message.rpartition(": ")
        if not cause:
            cause = f"{_shown(details['input'])} does not fit"
        yield Refusal((*details["loc"], *below), cause, remedy)


def _explained(details: ErrorDetails) -> tuple[str, str]:
    schema = _schema_at(details["loc"])
    if details["type"] == "missing":
        return "is missing", f"add it: {schema.get('description', '')}"
    if details["type"] == "extra_forbidden":
        return _unknown(details["loc"])
    return _unfit(details, schema)


def _unfit(details: ErrorDetails, schema: Json) -> tuple[str, str]:
    kind, found = details["type"], details["input"]
    if kind == "literal_error":
        return _not_one_of(found, schema.get("enum", []))
    if kind in _BOUND_ERRORS:
        return f"{_shown(found)} is out of bounds", f"write a number {_between(schema, 'minimum', 'maximum')}"
    if kind in _LENGTH_ERRORS:
        return _wrong_length(found, schema)
    if kind.endswith(_TYPE_ERRORS):
        return _wrong_kind(found, schema)
    return f"{_shown(found)}: {details['msg']}", f"see what it is for: {schema.get('description', '')}"


def _unknown(path: Path) -> tuple[str, str]:
    name, parent = str(path[-1]), path[:-1]
    known = list(_schema_at(parent).get("properties", {}))
    message = f"there is no field `{name}` in {dotted(parent) or 'a ModelDeployment'}"
    elsewhere = sorted(place for place in _places() if place.rpartition(".")[2] == name)
    if elsewhere:
        return message, f"it belongs to {elsewhere[0].rpartition('.')[0]}"
    near = _nearest(name, known)
    if near:
        return message, f"did you mean `{near}`?"
    return message, f"remove it; the fields here are {', '.join(known)}"


def _not_one_of(found: object, allowed: list[str]) -> tuple[str, str]:
    message = f"{_shown(found)} is not one of {', '.join(allowed)}"
    near = _nearest(found, allowed) if isinstance(found, str) else ""
    return message, f"did you mean {near}?" if near else f"write {' or '.join(allowed)}"


def _wrong_length(found: object, schema: Json) -> tuple[str, str]:
    if schema.get("type") == "array":
        return f"the list has {_length(found)} items", f"give {_between(schema, 'minItems', 'maxItems')} items"
    if schema.get("type") == "object":
        return (
            f"the mapping has {_length(found)} entries",
            f"give {_between(schema, 'minProperties', 'maxProperties')} entries",
        )
    between = _between(schema, "minLength", "maxLength")
    return f"{_shown(found)} has {_length(found)} characters", f"write a text of {between} characters"


def _wrong_kind(found: object, schema: Json) -> tuple[str, str]:
    wanted = _KINDS.get(schema.get("type", ""), "a whole number or a text")
    if found is None:
        return "has no value", f"write {wanted}, or remove the field"
    message = f"{_shown(found)} is {_kind_of(found)}, not {wanted}"
    return message, _remedy_for_kind(found, schema, wanted)


def _remedy_for_kind(found: object, schema: Json, wanted: str) -> str:
    if isinstance(found, str) and schema.get("type") in ("integer", "number", "boolean"):
        return f"write {wanted} without quotes"
    if isinstance(found, bool | int | float) and schema.get("type") == "string":
        is_duration = "duration(" in str(schema)
        return f"write it with its unit, for example {found}s" if is_duration else f'put it into quotes: "{found}"'
    return f"write {wanted}"


def _kind_of(value: object) -> str:
    if isinstance(value, bool):
        return "true or false"
    names = {str: "a text", int: "a whole number", float: "a number", list: "a list", dict: "a mapping"}
    return next((name for kind, name in names.items() if isinstance(value, kind)), type(value).__name__)


def _between(schema: Json, least: str, most: str) -> str:
    low, high = schema.get(least), schema.get(most)
    if low is None and high is None:
        return "that fits"
    if high is None:
        return f"of at least {low}"
    return f"from {low or 0} to {high}"


def _length(value: object) -> int:
    return len(cast("list[object]", value)) if hasattr(value, "__len__") else 0


def _shown(value: object) -> str:
    text = json.dumps(value, ensure_ascii=False, default=str)
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}…"


def _nearest(name: str, known: list[str]) -> str:
    """The known name that was probably meant, or nothing. Case and underscores do not count."""
    plain = {candidate.lower(): candidate for candidate in known}
    near = difflib.get_close_matches(name.lower().replace("_", "").replace("-", ""), plain, n=1, cutoff=0.6)
    return plain[near[0]] if near else ""


@functools.cache
def _schema() -> Json:
    return structural_schema(ModelDeployment)


def _schema_at(path: Path) -> Json:
    """The schema of the field at a path; empty where there is none."""
    node: Any = _schema()
    for part in path:
        if isinstance(part, int):
            node = node.get("items", {})
        else:
            node = node.get("properties", {}).get(part) or node.get("additionalProperties") or {}
        if not isinstance(node, dict):
            return {}
    return cast(Json, node)


@functools.cache
def _places() -> tuple[str, ...]:
    """Every field of `spec`, dotted."""
    return tuple(_below("spec", _schema()["properties"]["spec"]))


def _below(place: str, schema: Json) -> Iterator[str]:
    for name, child in schema.get("properties", {}).items():
        yield f"{place}.{name}"
        yield from _below(f"{place}.{name}", child)
