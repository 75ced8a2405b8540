"""Turns a pydantic model into a structural schema, the only kind that API servers take.

They refuse `$ref`, unions and `type: null`, have exclusive bounds as booleans, and drop without a word what they do not know.
"""

from collections.abc import Mapping
from typing import Any, Final

from pydantic import BaseModel

Json = dict[str, Any]

_INT_OR_TEXT: Final = "x-kubernetes-int-or-string"
_INT32: Final = 2**31 - 1
_DROPPED: Final = {"title", "$defs"}


def structural_schema(model: type[BaseModel]) -> Json:
    """The schema of a model with everything inlined.

    Raises:
        TypeError: the model cannot be said in a structural schema (it contains itself, or has a union).
    """
    schema = model.model_json_schema(by_alias=True, mode="validation")
    return _structural(schema, schema.get("$defs", {}), ())


def _structural(node: Json, definitions: Mapping[str, Json], within: tuple[str, ...]) -> Json:
    if "$ref" in node:
        return _inlined(node, definitions, within)
    if "anyOf" in node and _INT_OR_TEXT not in node:
        return _united(node, definitions, within)
    out = {key: value for key, value in node.items() if not _is_dropped(key, value)}
    if "properties" in out:
        out["properties"] = {name: _structural(child, definitions, within) for name, child in out["properties"].items()}
    for key in ("items", "additionalProperties"):
        if isinstance(out.get(key), dict):
            out[key] = _structural(out[key], definitions, within)
    if "const" in out:
        out["enum"] = [out.pop("const")]
    if "default" in out:
        out["default"] = _without_nulls(out["default"])
    if "description" in out:
        out["description"] = " ".join(out["description"].split())
    if out.get("type") == "array":
        out.setdefault("x-kubernetes-list-type", "atomic")
    _state_bounds(out)
    return _ordered(out)


def _is_dropped(key: str, value: object) -> bool:
    # `additionalProperties: false` may not stand beside `properties`: unknown fields are refused by strict clients instead.
    return key in _DROPPED or (key == "additionalProperties" and value is False) or (key == "default" and value is None)


def _inlined(node: Json, definitions: Mapping[str, Json], within: tuple[str, ...]) -> Json:
    name = node["$ref"].rpartition("/")[2]
    if name in within:
        raise TypeError(f"{name} contains itself; a structural schema cannot say that")
    siblings = {key: value for key, value in node.items() if key != "$ref"}
    return _structural({**definitions[name], **siblings}, definitions, (*within, name))


def _united(node: Json, definitions: Mapping[str, Json], within: tuple[str, ...]) -> Json:
    """`X | None` is X, a field that may be left out; no other union can be said."""
    branches = [branch for branch in node["anyOf"] if branch.get("type") != "null"]
    if len(branches) != 1:
        raise TypeError(f"a field of a custom resource cannot be one of {branches}")
    siblings = {key: value for key, value in node.items() if key != "anyOf"}
    return _structural({**branches[0], **siblings}, definitions, within)


def _state_bounds(out: Json) -> None:
    for side in ("minimum", "maximum"):
        exclusive = f"exclusive{side.capitalize()}"
        if exclusive in out:
            out[side], out[exclusive] = out[exclusive], True
    if out.get("type") == "integer":
        out["format"] = "int32" if out.get("maximum", _INT32 + 1) <= _INT32 else "int64"


def _without_nulls(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _without_nulls(item) for key, item in value.items() if item is not None}
    return value


def _ordered(node: Json) -> Json:
    """What a reader looks for first comes first."""
    first = ("description", "type", "format", "enum", "default", "required", "properties")
    return {key: node[key] for key in (*first, *(key for key in node if key not in first)) if key in node}
