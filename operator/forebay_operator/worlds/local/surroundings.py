"""What every part of the local world needs of the others."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from forebay_operator.worlds.clock import Clock
from forebay_operator.worlds.local.processes import ProcessHost
from forebay_operator.worlds.local.state import StateFolder


@dataclass(frozen=True, slots=True, kw_only=True)
class Surroundings:
    """The state folder, how processes are started, and whom to tell."""

    folder: StateFolder
    run: Path
    """Sockets and what lives as long as this `forebay up`."""
    host: ProcessHost
    clock: Clock
    changed: Callable[[], None]
    """Something happened that the step should look at now."""
    tell: Callable[[str, str], None]
    """What a person should know: whom it is about, and a sentence."""
