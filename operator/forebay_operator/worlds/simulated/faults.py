"""What goes wrong in a simulated world, as data: when, what, and for how long."""

from dataclasses import dataclass

Share = float
"""From 0 up to 1."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerDies:
    """A server's process ends at once, with the requests in it."""

    at: float
    pick: Share
    """Which of the ready servers, in the order of their start."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerStalls:
    """A server does nothing and answers nothing for a while; it may be called lost, and come back."""

    at: float
    pick: Share
    seconds: float


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerHangsAtStart:
    """The next server that is started never gets ready."""

    at: float


@dataclass(frozen=True, slots=True, kw_only=True)
class ServersOutdated:
    """All servers that there are were made by what is now an older template."""

    at: float


@dataclass(frozen=True, slots=True, kw_only=True)
class LoadsFail:
    """The next loads of a model fail."""

    at: float
    pick: Share
    """Which of the ModelDeployments, by address."""
    count: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ConversionsFail:
    """The next conversions that end, fail."""

    at: float
    count: int
    retryable: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class FiguresMissing:
    """A server's metrics cannot be read for a while; its repository index can."""

    at: float
    pick: Share
    seconds: float


@dataclass(frozen=True, slots=True, kw_only=True)
class GatewaySilent:
    """The controller hears no demand and no acknowledgement for a while; the gateway serves on."""

    at: float
    seconds: float


@dataclass(frozen=True, slots=True, kw_only=True)
class ActionsLost:
    """For a while, a share of the actions never happens."""

    at: float
    seconds: float
    share: Share


@dataclass(frozen=True, slots=True, kw_only=True)
class ActionsLate:
    """For a while, a share of the actions happens later."""

    at: float
    seconds: float
    share: Share
    late_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class ActionsDoubled:
    """For a while, a share of the actions happens once more, later."""

    at: float
    seconds: float
    share: Share
    again_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class ControllerRestarts:
    """The controller is away for a while and comes back with empty memory. Statuses persist."""

    at: float
    away_s: float
    forgets_conversions: bool
    """Running conversions end with the controller, and what is known of the others is lost; artifacts stay."""


Fault = (
    ServerDies
    | ServerStalls
    | ServerHangsAtStart
    | ServersOutdated
    | LoadsFail
    | ConversionsFail
    | FiguresMissing
    | GatewaySilent
    | ActionsLost
    | ActionsLate
    | ActionsDoubled
    | ControllerRestarts
)
