"""A bound on the memory of this process, so that one model's mistake is not every model's end."""

import resource
import threading
from typing import Final

from forebay_runtime.engine.devices import machine_memory

_STACK_BYTES: Final = 1 << 20
_BESIDE: Final = 2 << 30
"""Stacks of threads and other memory that is asked for and hardly used."""


def bound() -> None:
    """Let allocations fail that the machine cannot serve: else they are granted, and the process is killed as it uses them.

    Not for processes that use a GPU, whose driver maps far more than there is. To be called before threads are started:
    their stacks are made smaller, since the bound counts them as a whole.
    """
    threading.stack_size(_STACK_BYTES)
    _, hard = resource.getrlimit(resource.RLIMIT_DATA)
    wanted = machine_memory() + _BESIDE
    resource.setrlimit(resource.RLIMIT_DATA, (wanted if hard == resource.RLIM_INFINITY else min(wanted, hard), hard))
