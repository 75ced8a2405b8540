"""The one sentence that says how a ModelDeployment is, why, and what to do where it is not well."""

import re
from collections.abc import Iterable
from dataclasses import dataclass, replace

from forebay_operator.domain.diagnosis import Obstacle
from forebay_operator.domain.fleet import Replica
from forebay_operator.domain.outcome import Outcome
from forebay_operator.domain.wording import clause, counted, sentence

NO_REPLICAS = (
    "Not served: spec.replicas is 0, so requests wait at the gateway and are refused after a while: raise it, or set "
    "autoscaling with minReplicas 0 to have a request load the model."
)
_FIGURES = re.compile(r"(, queue [0-9.]+ per replica)?\.")


@dataclass(frozen=True, slots=True)
class Summary:
    text: str
    """What is structure: written at once when it changes."""
    figures: str = ""
    """Live figures that follow it: written now and then."""
    trouble: str = ""
    """What follows those; structure again."""

    def __str__(self) -> str:
        return self.text + self.figures + self.trouble

    def differs_in_figures_only(self, said: str) -> bool:
        """Whether a summary that was said before has the same structure."""
        if not said.startswith(self.text) or not said.endswith(self.trouble):
            return False
        figures = said[len(self.text) : len(said) - len(self.trouble)]
        return figures == self.figures or (bool(self.figures) and _FIGURES.fullmatch(figures) is not None)


def summarise(outcome: Outcome, obstacle: Obstacle | None, queue_depth: float | None) -> Summary:
    """The summary of a model. `queue_depth`: waiting requests per ready replica, None: not known."""
    found = _of_model(outcome, obstacle, queue_depth)
    trouble = clause(outcome.assessment.sight.deployment.trouble)
    return replace(found, trouble=f" But {trouble}.") if trouble else found


def _of_model(outcome: Outcome, obstacle: Obstacle | None, queue_depth: float | None) -> Summary:
    assessment = outcome.assessment
    deployment = assessment.sight.deployment
    if deployment.deleting:
        return _leaving("Deleting", outcome)
    if deployment.spec.stopped:
        return (
            _leaving("Stopping", outcome) if outcome.leaving else Summary("Stopped: set spec.stopped to false to serve again.")
        )
    if outcome.serving:
        return _serving(outcome, obstacle, queue_depth)
    return _at_zero(outcome, obstacle)


def devices_text(replicas: Iterable[Replica]) -> str:
    """`2 GPUs`, `1 simulated GPU`, `the CPU`, `3 CPU servers`: where replicas are."""
    kinds: dict[str, set[str]] = {}
    for replica in replicas:
        kinds.setdefault(replica.server.pool.device.kind, set()).add(replica.server.name)
    return " and ".join(_devices(kind, len(servers)) for kind, servers in sorted(kinds.items()))


def _devices(kind: str, servers: int) -> str:
    if kind == "cpu":
        return "the CPU" if servers == 1 else counted(servers, "CPU server")
    return counted(servers, "simulated GPU" if kind == "simulated" else "GPU")


def _at_zero(outcome: Outcome, obstacle: Obstacle | None) -> Summary:
    assessment = outcome.assessment
    wakes = assessment.sight.deployment.spec.max_replicas > 0
    if obstacle is None:
        return Summary("Ready at zero: the next request loads it." if wakes else NO_REPLICAS)
    known = assessment.revisions
    if wakes and known.older is not None and assessment.scaling.wanted == 0:
        at_zero = f"Ready at zero: the next request loads revision {known.older.number}"
        return Summary(sentence(f"{at_zero}; revision {known.target.number}: {obstacle.text}"))
    return Summary(sentence(f"Not ready: {obstacle.text}"))


def _leaving(verb: str, outcome: Outcome) -> Summary:
    return Summary(f"{verb}: {counted(len(outcome.leaving), 'replica')} still to be unloaded.")


def _serving(outcome: Outcome, obstacle: Obstacle | None, queue_depth: float | None) -> Summary:
    ready = outcome.ready
    wanted = max(outcome.assessment.scaling.wanted, len(ready))
    target = outcome.assessment.revisions.target.number
    on_devices = f"{len(ready)} of {counted(wanted, 'replica')} on {devices_text(ready)}"
    if outcome.serving != target:
        why = obstacle.text if obstacle else "it takes over when enough of its replicas are ready"
        return Summary(sentence(f"Revision {outcome.serving} serves with {on_devices}; revision {target}: {why}"))
    if outcome.is_awaiting_gateways:
        return Summary(f"Nearly ready: {on_devices}, and gateways are about to send requests there.")
    if obstacle is not None:
        return Summary(sentence(f"Ready: {on_devices}; for the rest: {obstacle.text}"))
    figures = f", queue {queue_depth:.1f} per replica" if queue_depth is not None else ""
    return Summary(f"Ready: {on_devices}", f"{figures}.")
