"""The models of a Triton repository that is served as it is, as the commands show them. No ModelDeployment asked for them."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from forebay_operator.domain.snapshot import GatewayDemand, Holding, HoldingPhase, Server, ServerPhase
from forebay_operator.domain.wording import bytes_text, counted
from forebay_operator.worlds.explanation import Chapter


@dataclass(frozen=True, slots=True, kw_only=True)
class RepositoryModel:
    """One model, with what its server holds of it."""

    namespace: str
    name: str
    repository: Path
    server: Server
    holdings: tuple[Holding, ...]
    """A version each."""
    remark: str
    """What a person should know of its name; empty: nothing."""

    @property
    def version(self) -> int | None:
        """The one that is routed: the latest that is ready. None: none is."""
        if self.server.phase is not ServerPhase.READY:
            return None
        return max((holding.version for holding in self.holdings if holding.phase is HoldingPhase.READY), default=None)

    def summary(self) -> str:
        if self.version is not None:
            return f"Served as it is from {self.repository}, version {self.version}."
        return f"Not served: {'; '.join(self._troubles()) or 'it is being loaded'}."

    def to_object(self) -> dict[str, Any]:
        """In the form of the custom resource, as far as it goes."""
        routed = [holding for holding in self.holdings if holding.version == self.version]
        return {
            "kind": "RepositoryModel",
            "metadata": {"name": self.name, "namespace": self.namespace},
            "spec": {"model": {"source": {"uri": str(self.repository / self.name)}}},
            "status": {
                "readyReplicas": len(routed),
                "replicas": len(routed),
                "revision": self.version or "-",
                "summary": self.summary(),
                "scaling": {"queueDepth": sum(holding.waiting or 0 for holding in routed)},
            },
        }

    def picture(self, demand: GatewayDemand) -> dict[str, Any]:
        """As `forebay top` shows a model."""
        is_ready = self.version is not None
        return {
            "namespace": self.namespace,
            "name": self.name,
            "revision": self.version or 0,
            "wanted": 1,
            "ready": int(is_ready),
            "loading": int(any(holding.phase is HoldingPhase.LOADING for holding in self.holdings)),
            "held": demand.held,
            "inFlight": demand.in_flight,
            "arrivals": demand.arrivals,
            "waiting": sum(holding.waiting or 0 for holding in self.holdings),
            "executing": sum(holding.executing or 0 for holding in self.holdings),
            "completed": sum(holding.completed or 0 for holding in self.holdings),
            "busySeconds": sum(holding.busy_seconds or 0.0 for holding in self.holdings),
            "summary": self.summary(),
            "decision": "",
        }

    def explain(self, demand: GatewayDemand | None) -> tuple[Chapter, ...]:
        """Its causal chain: short, as nobody decides anything about it."""
        return (
            Chapter("Asked", (f"serve {self.repository / self.name} as it is (--triton-repository)",)),
            Chapter("Seen", (*(self._seen(holding) for holding in self.holdings), _requests(demand))),
            Chapter("Decided", (f"requests go to version {self.version}, the latest that is ready",) if self.version else ()),
            Chapter("Missing", tuple(self._missing()) or ("nothing",)),
        )

    def _seen(self, holding: Holding) -> str:
        memory = f", {bytes_text(holding.footprint_bytes)}" if holding.footprint_bytes is not None else ""
        return f"{self.server.name} ({self.server.phase.value}) holds version {holding.version}: {holding.phase.value}{memory}"

    def _missing(self) -> Iterator[str]:
        yield from self._troubles()
        if self.remark:
            yield f"its name: it {self.remark}"

    def _troubles(self) -> Iterator[str]:
        if self.server.message:
            yield f"server {self.server.name}: {self.server.message}"
        for holding in self.holdings:
            if holding.phase is HoldingPhase.FAILED:
                yield f"version {holding.version}: {holding.reason or 'it failed without saying why'}"


def _requests(demand: GatewayDemand | None) -> str:
    if demand is None:
        return "no request so far"
    return f"{counted(demand.arrivals, 'request')} so far, {demand.in_flight} in flight"
