"""What the API server refused: for people a sentence with the remedy, for the writer a pause."""

from dataclasses import dataclass
from typing import Final

from forebay_operator.manifests.kinds import SECRETS, Ref
from forebay_operator.worlds.kubernetes.api_server import RefusedError

_FIRST_PAUSE_S: Final = 1.0
_LONGEST_PAUSE_S: Final = 120.0
_MOST_CAUSE: Final = 300
_REMEDIES: Final = (
    (
        ("exceeded quota", "must specify"),
        "raise the ResourceQuota of the namespace, or free what counts against it",
    ),
    # What the chart's own policy says.
    (("operator did not make this object",), "rename the ModelDeployment, or delete what has its name"),
    (("failed calling webhook",), "see that it answers, or exempt Forebay's objects from it"),
    (("admission webhook",), "change what the webhook asks for, or exempt Forebay's objects from it"),
    (("PodSecurity", "LimitRange"), "allow it in the namespace's policy, or change the pod template"),
    (("field not declared in schema",), "upgrade the CustomResourceDefinition to the operator's version"),
)
_ANEW: Final = "delete the object, and it is made anew"
_BY_STATUS: Final = {
    403: "grant the operator's service account what the chart grants it",
    409: _ANEW,
    422: _ANEW,
}


@dataclass(frozen=True, slots=True)
class Refusal:
    """An object that was refused so many times in a row."""

    ref: Ref
    sentence: str
    count: int
    again_at: float
    """When it is tried again, by the monotonic clock."""


def refusal(ref: Ref, error: RefusedError, count: int, now: float) -> Refusal:
    """The `count`-th refusal in a row: tried again after 1 s, twice as long after each, up to two minutes."""
    pause = min(_FIRST_PAUSE_S * 2.0 ** min(count - 1, 10), _LONGEST_PAUSE_S)
    return Refusal(ref, sentence(ref, error), count, now + pause)


def sentence(ref: Ref, error: RefusedError) -> str:
    """What was refused, why, and what to do."""
    cause = " ".join(error.message.split())[:_MOST_CAUSE].rstrip(".")
    return f"the API server refused {ref}: {cause}; {_remedy(ref, error)}"


def _remedy(ref: Ref, error: RefusedError) -> str:
    for words, remedy in _REMEDIES:
        if any(word in error.message for word in words):
            return remedy
    if error.reason == "AlreadyExists" and ref.kind == SECRETS.name:
        return "rename that one, as Forebay needs the name for its own"
    if error.reason == "AlreadyExists":
        return "rename the ModelDeployment, or delete what has its name"
    return _BY_STATUS.get(error.status, "it is tried again by itself")
