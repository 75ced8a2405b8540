"""What every object of the custom resource has in common."""

from collections.abc import Iterator, Mapping
from typing import Any, ClassVar, Self, cast

from pydantic import BaseModel, ConfigDict, GetJsonSchemaHandler, model_validator
from pydantic.alias_generators import to_camel
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema, to_json

from forebay_operator.api.rules import VALIDATIONS, Rule, RuleBroken, Transition, Violation


class ApiModel(BaseModel):
    """A frozen object of the resource: camelCase outside, no unknown fields, its rules checked once its fields are right.

    The text under a field is its description, which `kubectl explain` and the documentation show.
    """

    model_config = ConfigDict(
        alias_generator=to_camel,
        populate_by_name=True,
        extra="forbid",
        frozen=True,
        use_attribute_docstrings=True,
    )

    rules: ClassVar[tuple[Rule[Any], ...]] = ()
    transitions: ClassVar[tuple[Transition[Any], ...]] = ()

    @classmethod
    def from_object(cls, content: Mapping[str, Any]) -> Self:
        """Read plain data as strictly as an API server: camelCase names only, no number for a text or the reverse.

        A field without a value (null) is taken as not set, as API servers do.

        Raises:
            pydantic.ValidationError: it does not fit; `problems.py` turns that into sentences.
        """
        return cls.model_validate_json(to_json(_without_nulls(content)), strict=True, by_alias=True, by_name=False)

    def to_object(self) -> dict[str, Any]:
        """Plain data as an API server keeps it: camelCase, and nothing where nothing is set."""
        return self.model_dump(mode="json", by_alias=True, exclude_none=True)

    @classmethod
    def __get_pydantic_json_schema__(cls, core: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        schema = handler.resolve_ref_schema(handler(core))
        validations = [rule.to_validation() for rule in cls.rules]
        validations += [transition.to_validation() for transition in cls.transitions]
        if validations:
            schema[VALIDATIONS] = validations
        return schema

    @model_validator(mode="after")
    def _obeys_its_rules(self) -> Self:
        broken = tuple(violation for rule in self.rules for violation in rule.violations(self))
        if broken:
            raise RuleBroken(broken)
        return self


def refused_changes(old: ApiModel, new: ApiModel, path: str = "") -> Iterator[Violation]:
    """The rules on changes that going from `old` to `new` would break; both are of the same class."""
    for transition in new.transitions:
        if not transition.holds(old, new):
            yield Violation(_below(path, transition.field), transition.message)
    for name, field in type(new).model_fields.items():
        before, after = getattr(old, name), getattr(new, name)
        if isinstance(before, ApiModel) and isinstance(after, ApiModel):
            yield from refused_changes(before, after, _below(path, field.alias or name))


def _without_nulls(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _without_nulls(item) for key, item in cast("Mapping[str, Any]", value).items() if item is not None}
    if isinstance(value, list):
        return [_without_nulls(item) for item in value]
    return value


def _below(path: str, field: str) -> str:
    return ".".join(part for part in (path, field) if part)
