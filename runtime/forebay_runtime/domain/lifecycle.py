"""The life of one version of a model in a server: one table."""

from enum import Enum


class State(Enum):
    """As the repository index names them. UNKNOWN: never asked for."""

    UNKNOWN = "UNKNOWN"
    LOADING = "LOADING"
    READY = "READY"
    UNLOADING = "UNLOADING"
    UNAVAILABLE = "UNAVAILABLE"


class Event(Enum):
    LOAD_ORDERED = "load ordered"
    LOADED = "loaded"
    LOAD_FAILED = "load failed"
    UNLOAD_ORDERED = "unload ordered"
    DRAINED = "drained"


class InvalidTransitionError(RuntimeError):
    """An event that cannot happen in a state: a fault of the server, never of a client."""

    def __init__(self, state: State, event: Event) -> None:
        super().__init__(f"a version that is {state.value} cannot see '{event.value}'")


# A READY version that is loaded anew (another configuration) serves on with what it has until the new one is there.
TRANSITIONS: dict[tuple[State, Event], State] = {
    (State.UNKNOWN, Event.LOAD_ORDERED): State.LOADING,
    (State.UNAVAILABLE, Event.LOAD_ORDERED): State.LOADING,
    (State.LOADING, Event.LOADED): State.READY,
    (State.LOADING, Event.LOAD_FAILED): State.UNAVAILABLE,
    (State.READY, Event.LOAD_ORDERED): State.READY,
    (State.READY, Event.LOADED): State.READY,
    (State.READY, Event.LOAD_FAILED): State.READY,
    (State.READY, Event.UNLOAD_ORDERED): State.UNLOADING,
    (State.UNLOADING, Event.DRAINED): State.UNAVAILABLE,
    (State.UNAVAILABLE, Event.UNLOAD_ORDERED): State.UNAVAILABLE,
}


def advance(state: State, event: Event) -> State:
    """The state after the event.

    Raises:
        InvalidTransitionError: the table has no such step.
    """
    try:
        return TRANSITIONS[state, event]
    except KeyError:
        raise InvalidTransitionError(state, event) from None
