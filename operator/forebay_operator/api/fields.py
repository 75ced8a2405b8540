"""The kinds of value that fields of the custom resource hold, and what they mean in numbers."""

import math
import re
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from decimal import Decimal
from typing import Annotated, Any, Final, TypeVar

from pydantic import AwareDatetime, Field, GetCoreSchemaHandler, GetJsonSchemaHandler, PlainSerializer
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema, PydanticCustomError, core_schema

from forebay_operator.api.rules import Rule, RuleBroken, Violation

T = TypeVar("T")

# Patterns hold in RE2 (API servers) as in Python, and always for the whole text.
_DURATION: Final = "([0-9]{1,6}h)?([0-9]{1,6}m)?([0-9]{1,6}s)?([0-9]{1,6}ms)?([0-9]{1,6}us)?"
_AMOUNT: Final = "([1-9][0-9]{0,14}([.][0-9]{1,3})?|0[.][0-9]{0,2}[1-9])"
_MEMORY: Final = f"{_AMOUNT}(Ki|Mi|Gi|Ti|k|M|G|T)?"
_RESOURCE: Final = f"(0|{_AMOUNT}(m|Ki|Mi|Gi|Ti|k|M|G|T)?)"
_SCHEMES: Final = "(data:[^,]*;base64,|s3://|https?://|file:///|/)"
_LABEL_VALUE: Final = "([A-Za-z0-9]([-A-Za-z0-9_.]*[A-Za-z0-9])?)?"
_QUALIFIED_NAME: Final = "([a-z0-9]([-a-z0-9.]{0,251}[a-z0-9])?/)?[A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?"

_MICROSECONDS: Final = {"h": 3_600_000_000, "m": 60_000_000, "s": 1_000_000, "ms": 1_000, "us": 1}
_MULTIPLES: Final = {
    "": 1,
    "k": 10**3,
    "M": 10**6,
    "G": 10**9,
    "T": 10**12,
    "Ki": 2**10,
    "Mi": 2**20,
    "Gi": 2**30,
    "Ti": 2**40,
}

MAX_DATA_URI: Final = 128 * 1024
"""Characters. An object must fit into etcd, and twice into `kubectl apply`, whose annotation takes 256 KiB."""
MAX_DATA_URIS: Final = 192 * 1024
"""Characters of two together: an order of a conversion is an annotation, and all of a pod's take 256 KiB."""
_MAX_URI: Final = 2048
_MAX_SHORT: Final = 32


def matching(pattern: str, message: str) -> Rule[str]:
    """The rule that a text is, as a whole, what the pattern describes."""
    return Rule(f"self.matches('^({pattern})$')", message, lambda text: _is(pattern, text))


def _is(pattern: str, text: str) -> bool:
    return re.fullmatch(pattern, text) is not None


# Durations


def microseconds(duration: str) -> int:
    """`1h30m`, `60s`, `500ms`, `100us` in microseconds.

    Raises:
        ValueError: it is no duration.
    """
    if not duration or not _is(_DURATION, duration):
        raise ValueError(f"{duration!r} is no duration such as 60s, 5m, 1h30m or 500ms")
    parts = re.findall(r"(\d+)(h|ms|m|us|s)", duration)
    return sum(int(count) * _MICROSECONDS[unit] for count, unit in parts)


def seconds(duration: str) -> float:
    """`1h30m`, `60s`, `500ms` in seconds."""
    return microseconds(duration) / 1_000_000


def duration_from(least: str, most: str) -> Rule[str]:
    """The rule that a text is a duration between the two."""
    return Rule(
        f"self != '' && self.matches('^({_DURATION})$')"
        f" && duration(self) >= duration('{least}') && duration(self) <= duration('{most}')",
        f"write a duration from {least} to {most}, with its unit, such as 500ms, 60s, 5m or 1h30m",
        lambda text: text != "" and _is(_DURATION, text) and microseconds(least) <= microseconds(text) <= microseconds(most),
    )


DurationText = Annotated[str, Field(max_length=_MAX_SHORT)]

# Quantities


def bytes_of(quantity: int | str) -> int:
    """`4Gi`, `500M`, `1.5Gi` or a plain number, in bytes, rounded up.

    Raises:
        ValueError: it is no quantity of memory.
    """
    if isinstance(quantity, int):
        return quantity
    if not _is(_MEMORY, quantity):
        raise ValueError(f"{quantity!r} is no quantity of memory such as 4Gi or 500Mi")
    amount = quantity.rstrip("KMGTki")
    return math.ceil(Decimal(amount) * _MULTIPLES[quantity[len(amount) :]])


class _IntOrText:
    """What Kubernetes calls int-or-string: a whole number or a text of at most 32 characters."""

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.no_info_plain_validator_function(_int_or_text)

    def __get_pydantic_json_schema__(self, schema: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        # API servers take exactly this form of `anyOf`, with constraints beside it.
        kinds = [{"type": "integer"}, {"type": "string"}]
        return {"x-kubernetes-int-or-string": True, "anyOf": kinds, "maxLength": _MAX_SHORT}


def _int_or_text(value: object) -> int | str:
    if isinstance(value, bool) or not isinstance(value, int | str):
        raise PydanticCustomError("int_or_text", "expected a whole number or a text")
    if isinstance(value, str) and len(value) > _MAX_SHORT:
        raise PydanticCustomError("string_too_long", "expected at most {max_length} characters", {"max_length": _MAX_SHORT})
    return value


IntOrText = Annotated[int | str, _IntOrText()]

MemoryOrAuto = Annotated[
    IntOrText,
    Rule[int | str](
        f"type(self) == int ? self > 0 : self == 'auto' || self.matches('^({_MEMORY})$')",
        "write auto, or memory above zero such as 4Gi or 500Mi",
        lambda value: value > 0 if isinstance(value, int) else value == "auto" or _is(_MEMORY, value),
    ),
]
ResourceQuantity = Annotated[
    IntOrText,
    Rule[int | str](
        f"type(self) == int ? self >= 0 : self.matches('^({_RESOURCE})$')",
        "write a quantity such as 2, 500m or 4Gi",
        lambda value: value >= 0 if isinstance(value, int) else _is(_RESOURCE, value),
    ),
]
CountOrAuto = Annotated[
    IntOrText,
    Rule[int | str](
        "type(self) == int ? self >= 1 && self <= 64 : self == 'auto'",
        "write auto, or a number from 1 to 64",
        lambda value: 1 <= value <= 64 if isinstance(value, int) else value == "auto",  # noqa: PLR2004  (the rule's own bounds)
    ),
]

# Texts

Uri = Annotated[
    str,
    # Above the limit of the rule, so that a person reads the rule's sentence; not higher, or matching a text of that length
    # would cost more than an API server grants one rule.
    Field(min_length=1, max_length=1 << 19),
    Rule[str](
        f"self.matches('^{_SCHEMES}')",
        "use s3://…, https://…, http://…, file:///…, an absolute path, or data:…;base64,… for a tiny model"
        " (a relative path works only in a file that `forebay up` or `forebay apply` reads)",
        lambda uri: re.match(_SCHEMES, uri) is not None,
    ),
    Rule[str](
        f"!self.startsWith('data:') || self.size() <= {MAX_DATA_URI}",
        f"a data: URI has at most {MAX_DATA_URI} characters (128 KiB): put the file into a bucket and name it as s3://…",
        lambda uri: not uri.startswith("data:") or len(uri) <= MAX_DATA_URI,
    ),
    Rule[str](
        f"self.startsWith('data:') || self.size() <= {_MAX_URI}",
        f"a URI has at most {_MAX_URI} characters: use a shorter one",
        lambda uri: uri.startswith("data:") or len(uri) <= _MAX_URI,
    ),
]
Sha256 = Annotated[
    str,
    Field(max_length=128),
    matching("[0-9a-f]{64}", "write 64 hexadecimal digits in lower case, as `sha256sum` prints them"),
]
ObjectName = Annotated[
    str,
    Field(max_length=253),
    matching(
        "[a-z0-9]([-a-z0-9.]*[a-z0-9])?",
        "write a name of lower-case letters, digits, - and ., with a letter or digit first and last",
    ),
]
LabelValue = Annotated[
    str,
    Field(max_length=63),
    matching(_LABEL_VALUE, "write letters, digits, -, _ and . only, with a letter or digit first and last"),
]
_MAX_QUALIFIED: Final = 316
QualifiedName = Annotated[
    str,
    Field(max_length=_MAX_QUALIFIED),
    matching(_QUALIFIED_NAME, "write a name such as team or example.com/team"),
]
"""What keys of labels, taints and resources are: a name of at most 63 characters, with a DNS name before it where it is not
everybody's."""


def keyed_by_names(what: str) -> Rule[Mapping[str, Any]]:
    """The rule that the keys of a map are qualified names. `what` they are the names of."""
    return Rule(
        f"self.all(key, key.size() <= {_MAX_QUALIFIED} && key.matches('^({_QUALIFIED_NAME})$'))",
        f"write {what} such as team or example.com/team, with a letter or digit first and last",
        lambda entries: all(len(key) <= _MAX_QUALIFIED and _is(_QUALIFIED_NAME, key) for key in entries),
    )


def without_keys(keys: Sequence[str], message: str) -> Rule[Mapping[str, Any]]:
    """The rule that a map has none of these keys."""
    named = ", ".join(f"'{key}'" for key in keys)
    return Rule(f"![{named}].exists(key, key in self)", message, lambda entries: not any(key in entries for key in keys))


def _rfc3339(moment: datetime) -> str:
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


Timestamp = Annotated[AwareDatetime, PlainSerializer(_rfc3339, return_type=str, when_used="json")]
"""A moment, to the second, as Kubernetes writes it: 2026-01-31T12:00:00Z."""

# Lists


class Keyed:
    """A list whose items differ in one of their fields: a map list of Kubernetes, merged by that key."""

    def __init__(self, key: str) -> None:
        self.key = key

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.no_info_after_validator_function(self._distinct, handler(source))

    def __get_pydantic_json_schema__(self, schema: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        return {**handler(schema), "x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": [self.key]}

    def _distinct(self, items: tuple[T, ...]) -> tuple[T, ...]:
        _refuse_repeated([getattr(item, self.key) for item in items], f"`{self.key}`")
        return items


class Distinct:
    """A list of plain values that differ: a set of Kubernetes."""

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.no_info_after_validator_function(self._distinct, handler(source))

    def __get_pydantic_json_schema__(self, schema: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        return {**handler(schema), "x-kubernetes-list-type": "set"}

    def _distinct(self, items: tuple[T, ...]) -> tuple[T, ...]:
        _refuse_repeated(list(items), "value")
        return items


def _refuse_repeated(keys: list[Any], what: str) -> None:
    repeated = sorted({str(key) for key in keys if keys.count(key) > 1})
    if repeated:
        raise RuleBroken((Violation("", f"the {what} {', '.join(repeated)} is there more than once: keep one"),))
