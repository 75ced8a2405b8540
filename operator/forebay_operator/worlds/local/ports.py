"""The two ports that clients know: free, or said whose they are."""

import random
import socket
from typing import Final

from forebay_operator.worlds.local.process_table import owner_of_port

HOST: Final = "127.0.0.1"
_CHOICES: Final = range(20_000, 32_000)
"""Below the range from which the kernel hands ports to clients, so that none is taken between choice and use."""


class PortError(Exception):
    """A port cannot be used; the message names who has it and what to do."""


def usable_port(port: int, flag: str) -> int:
    """The port itself, once it is known to be free; for 0 a free one.

    Raises:
        PortError: something else listens there.
    """
    if port == 0:
        return next(choice for choice in random.sample(_CHOICES, len(_CHOICES)) if _bindable(choice) is None)
    refusal = _bindable(port)
    if refusal is None:
        return port
    owner = owner_of_port(port)
    if owner is None:
        raise PortError(f"port {port} cannot be used ({refusal.strerror or refusal}): choose another port with {flag}")
    raise PortError(f"port {port} is in use by {owner}: end that process, or choose another port with {flag}")


def _bindable(port: int) -> OSError | None:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except (OSError, OverflowError) as error:
            return error if isinstance(error, OSError) else OSError(str(error))
    return None
