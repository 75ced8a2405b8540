"""JSON documents that say which contract, and which version of it, they follow."""

import json
import re
from typing import Any, ClassVar, Self

from pydantic import BaseModel, ConfigDict, SerializerFunctionWrapHandler, ValidationError, model_serializer

_SCHEMA = re.compile(r"forebay\.dev/(?P<name>[a-z-]+)/v(?P<major>\d+)")


class DocumentError(ValueError):
    """A document that cannot be read; the message says what was found and what was expected."""


class Part(BaseModel):
    """A frozen value inside a document. Fields a newer writer added are ignored."""

    model_config = ConfigDict(frozen=True, extra="ignore")


class Document(Part):
    """A whole document: serialised with its `schema`, read back only if the major version is the one we know."""

    document_name: ClassVar[str]
    major: ClassVar[int] = 1

    @classmethod
    def schema_id(cls) -> str:
        return f"forebay.dev/{cls.document_name}/v{cls.major}"

    @model_serializer(mode="wrap")
    def _with_schema(self, handler: SerializerFunctionWrapHandler) -> dict[str, Any]:
        return {"schema": self.schema_id(), **handler(self)}

    @classmethod
    def from_json(cls, text: str | bytes) -> Self:
        """Read a document.

        Raises:
            DocumentError: it is no JSON object, follows another contract or major version, or lacks a field.
        """
        try:
            content = json.loads(text)
        except (ValueError, RecursionError) as error:
            raise DocumentError(f"expected a JSON document of {cls.schema_id()}: {error}") from None
        if not isinstance(content, dict):
            raise DocumentError(f"expected a JSON object of {cls.schema_id()}, got {type(content).__name__}")
        cls._check_schema(content.pop("schema", None))
        try:
            return cls.model_validate(content)
        except ValidationError as error:
            raise DocumentError(f"not a valid {cls.schema_id()}: {error}") from None

    @classmethod
    def _check_schema(cls, found: object) -> None:
        match = _SCHEMA.fullmatch(found) if isinstance(found, str) else None
        if match is None or match["name"] != cls.document_name:
            raise DocumentError(f"expected a document of {cls.schema_id()}, found schema {found!r}")
        if match["major"] != str(cls.major):
            raise DocumentError(
                f"this document is {found}, this version of Forebay reads {cls.schema_id()}: upgrade the older side"
            )

    def to_json(self, indent: int | None = None) -> str:
        return self.model_dump_json(indent=indent)
