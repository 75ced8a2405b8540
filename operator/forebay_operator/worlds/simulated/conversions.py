"""Simulated conversions, and the store they publish to."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace

from forebay_operator.domain.actions import StartConversion
from forebay_operator.domain.deployment import Source
from forebay_operator.domain.snapshot import Conversion, ConversionFailure, ConversionId, ConversionPhase, StoredArtifact
from forebay_operator.domain.status import Artifact, VerificationReport
from forebay_operator.worlds.simulated.behaviour import ModelBehaviour
from forebay_operator.worlds.simulated.timeline import Timeline
from forebay_schema.digests import digest_of

FOUND_S = 0.5
"""How long a conversion takes that finds its artifact in the store."""

Stored = tuple[str, str]
"""Namespace and digest of an artifact."""


@dataclass(slots=True, eq=False)
class SimulatedStore:
    """Artifacts, and how each behaves once loaded."""

    artifacts: dict[Stored, StoredArtifact] = field(default_factory=dict[Stored, StoredArtifact])
    behaviours: dict[str, ModelBehaviour] = field(default_factory=dict[str, ModelBehaviour])
    """By digest; kept for ever, so that a simulation can be judged afterwards."""

    def put(self, namespace: str, digest: str, behaviour: ModelBehaviour, now: float) -> None:
        self.behaviours[digest] = behaviour
        self.artifacts.setdefault((namespace, digest), StoredArtifact(namespace=namespace, digest=digest, stored_at=now))

    def fetch(self, namespace: str, digest: str) -> ModelBehaviour | None:
        return self.behaviours[digest] if (namespace, digest) in self.artifacts else None

    def collect(self, namespace: str, digest: str) -> None:
        self.artifacts.pop((namespace, digest), None)


@dataclass(slots=True, eq=False)
class SimulatedConversions:
    timeline: Timeline
    store: SimulatedStore
    sources: Mapping[str, ModelBehaviour]
    """By URI. A source that is not in it cannot be fetched."""
    fault: Callable[[], ConversionFailure | None]
    """Why the conversion that ends now fails; None: it does not."""
    known: dict[ConversionId, Conversion] = field(default_factory=dict[ConversionId, Conversion])

    def start(self, order: StartConversion) -> None:
        """One that runs is left alone, and so is an attempt that was made already."""
        present = self.known.get(order.id)
        if present is not None and (present.phase is not ConversionPhase.FAILED or order.attempt <= present.attempt):
            return
        running = Conversion(
            id=order.id, phase=ConversionPhase.RUNNING, attempt=order.attempt, started_at=self.timeline.now, progress="convert"
        )
        self.known[order.id] = running
        self.timeline.after(self._seconds(order), lambda: self._end(order, running))

    def forget(self, id_: ConversionId) -> None:
        self.known.pop(id_, None)

    def _seconds(self, order: StartConversion) -> float:
        found = (order.id.namespace, artifact_digest(order.source, order.max_batch_size)) in self.store.artifacts
        return FOUND_S if found else self._behaviour(order.source).convert_s

    def _end(self, order: StartConversion, running: Conversion) -> None:
        if self.known.get(order.id) is not running:
            return
        failure = self.fault() or self._behaviour(order.source).refusal
        done = replace(running, finished_at=self.timeline.now, progress="")
        if failure is not None:
            self.known[order.id] = replace(done, phase=ConversionPhase.FAILED, failure=failure)
            return
        artifact = artifact_of(order, self._behaviour(order.source))
        self.store.put(order.id.namespace, artifact.digest, self._behaviour(order.source), self.timeline.now)
        self.known[order.id] = replace(done, phase=ConversionPhase.SUCCEEDED, artifact=artifact)

    def _behaviour(self, source: Source) -> ModelBehaviour:
        missing = ConversionFailure(
            stage="fetch", cause=f"there is nothing at {source.uri}", remedy="correct spec.model.source.uri"
        )
        return self.sources.get(source.uri, ModelBehaviour(convert_s=1.0, refusal=missing))


def artifact_digest(source: Source, max_batch_size: int) -> str:
    """The same bytes converted for the same batches are the same artifact, however it was verified."""
    return digest_of([source.uri, max_batch_size])


def artifact_of(order: StartConversion, behaviour: ModelBehaviour) -> Artifact:
    return Artifact(
        digest=artifact_digest(order.source, order.max_batch_size),
        size_bytes=behaviour.estimate_bytes // 2,
        source_sha256=digest_of(order.source.uri),
        converted_with="simulation",
        verification=VerificationReport(samples=100, samples_drawn=True, max_relative_error=1e-6, agreement=1.0),
        memory_bytes=behaviour.estimate_bytes,
    )
