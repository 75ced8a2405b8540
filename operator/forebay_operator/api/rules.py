"""Rules that a schema cannot say, each written twice side by side: in CEL for API servers, as a predicate for our own tools.

A rule on a value stands in the annotation of its type; a rule across the fields of an object in the object's class.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from pydantic import GetCoreSchemaHandler, GetJsonSchemaHandler
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema, core_schema

T = TypeVar("T")
VALIDATIONS = "x-kubernetes-validations"


@dataclass(frozen=True, slots=True)
class Violation:
    """A rule that does not hold. `field` is a dotted path below the object that was checked, empty for the object itself."""

    field: str
    message: str


class RuleBroken(ValueError):  # noqa: N818  (pydantic shows the name to nobody; it reads as what it is)
    """At least one rule does not hold; the text joins their messages."""

    def __init__(self, violations: tuple[Violation, ...]) -> None:
        super().__init__("; ".join(violation.message for violation in violations))
        self.violations = violations


# Without slots: Python 3.11 cannot make `Rule[X](…)` of a frozen class that has them.
@dataclass(frozen=True)
class Rule(Generic[T]):
    """What must hold of a value (`self` in CEL). The message says what to change."""

    expression: str
    message: str
    holds: Callable[[T], bool]
    field: str = ""
    """The dotted path of the field that the message is about, below the object."""

    def violations(self, value: T) -> tuple[Violation, ...]:
        return () if self.holds(value) else (Violation(self.field, self.message),)

    def to_validation(self) -> dict[str, str]:
        """The rule as an entry of `x-kubernetes-validations`."""
        # Nothing of `metadata` is in the schema, so a path into it would be refused.
        field = "" if self.field.startswith("metadata") else self.field
        return {"rule": self.expression, "message": self.message} | ({"fieldPath": f".{field}"} if field else {})

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.no_info_after_validator_function(self._checked, handler(source))

    def __get_pydantic_json_schema__(self, schema: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        described = handler(schema)
        return {**described, VALIDATIONS: [*described.get(VALIDATIONS, []), self.to_validation()]}

    def _checked(self, value: T) -> T:
        broken = self.violations(value)
        if broken:
            raise RuleBroken(broken)
        return value


@dataclass(frozen=True)
class Transition(Generic[T]):
    """What must hold of a change from one value (`oldSelf` in CEL) to the next (`self`)."""

    expression: str
    message: str
    holds: Callable[[T, T], bool]
    """Of the old and the new value."""
    field: str = ""

    def to_validation(self) -> dict[str, str]:
        return {"rule": self.expression, "message": self.message, "fieldPath": f".{self.field}"}
