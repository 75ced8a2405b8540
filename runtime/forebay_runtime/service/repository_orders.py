"""The parameters of load and unload calls: Triton's, and Forebay's beside them."""

from collections.abc import Mapping
from typing import Any, TypeVar

from pydantic import ValidationError

from forebay_runtime.protocol.errors import InternalError, InvalidArgumentError, UnsupportedError
from forebay_runtime.service.repository_control import RepositoryControl
from forebay_schema.repository import LoadOrder, UnloadOrder

_PREFIX = "forebay_"


async def load(control: RepositoryControl, model: str, parameters: Mapping[str, Any]) -> None:
    """Do what a load call asks for.

    Raises:
        RequestError: it cannot be done, or the parameters are not understood.
    """
    for key in parameters:
        if key.startswith("file:"):
            raise UnsupportedError(f"parameter '{key}': this server takes no model files in the load call")
        if key != "config" and not key.startswith(_PREFIX):
            raise InternalError(f"unrecognized load parameter '{key}' with a value that is not understood")
    config = parameters.get("config")
    if config is not None and not isinstance(config, str):
        raise InternalError("load parameter 'config' must be a string that holds JSON")
    if any(key.startswith(_PREFIX) for key in parameters):
        await control.obey_load(model, _order(LoadOrder, parameters), config or "{}")
    else:
        await control.load(model, config)


async def unload(control: RepositoryControl, model: str, parameters: Mapping[str, Any]) -> None:
    """Do what an unload call asks for.

    Raises:
        RequestError: it cannot be done, or a Forebay parameter is wrong.
    """
    if any(key.startswith(_PREFIX) for key in parameters):
        await control.obey_unload(model, _order(UnloadOrder, parameters))
    else:
        await control.unload(model)


Order = TypeVar("Order", LoadOrder, UnloadOrder)


def _order(kind: type[Order], parameters: Mapping[str, Any]) -> Order:
    try:
        return kind.model_validate(dict(parameters))
    except ValidationError as error:
        wrong = "; ".join(f"{'.'.join(map(str, found['loc']))}: {found['msg']}" for found in error.errors())
        raise InvalidArgumentError(f"the forebay parameters of this call are not right: {wrong}") from None
