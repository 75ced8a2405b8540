"""Reading fields of JSON requests; refusals have Triton's wording and code (500)."""

from typing import Any

from forebay_runtime.protocol.errors import InternalError, InvalidArgumentError

JsonObject = dict[str, Any]


def member(json_object: JsonObject, key: str, what: str) -> Any:
    """The value under `key`; `what` names the field in the refusal."""
    try:
        return json_object[key]
    except KeyError:
        raise InternalError(f"Unable to parse '{what}': attempt to access non-existing object member '{key}'") from None


def array(value: Any, what: str) -> list[Any]:
    if not isinstance(value, list):
        raise InternalError(f"Unable to parse '{what}': attempt to access JSON non-array as array")
    return value


def json_object(value: Any, what: str) -> JsonObject:
    if not isinstance(value, dict):
        raise InternalError(f"Unable to parse '{what}': attempt to access JSON non-object as object")
    return value


def text(value: Any, what: str) -> str:
    if not isinstance(value, str):
        raise InternalError(f"Unable to parse '{what}': attempt to access JSON non-string as string")
    return value


def unsigned(value: Any, what: str) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value < 1 << 64:
        raise InternalError(f"Unable to parse '{what}': attempt to access JSON non-unsigned-integer as unsigned-integer")
    return value


def boolean(value: Any, what: str) -> bool:
    if not isinstance(value, bool):
        raise InternalError(f"Unable to parse '{what}': attempt to access JSON non-boolean as boolean")
    return value


def check_custom_parameter(key: str, value: Any) -> None:
    """Custom parameters are strings, numbers or booleans.

    Raises:
        InvalidArgumentError: it is something else, or its name is reserved.
    """
    if key.startswith("triton_"):
        raise InvalidArgumentError(
            "parameter keys starting with 'triton_' are reserved for Triton usage and should not be specified."
        )
    if not isinstance(value, (str, int, float, bool)):
        raise InvalidArgumentError(
            f"parameter '{key}' has invalid type. It should be either 'int', 'bool', 'string' or 'double'."
        )
