"""Conversions: which to start, which to start again after a pause, which nobody waits for any more."""

import enum
from collections.abc import Iterable, Set
from dataclasses import dataclass

from forebay_operator.domain.actions import ForgetConversion, StartConversion
from forebay_operator.domain.deployment import DeploymentSpec
from forebay_operator.domain.failures import pause_after
from forebay_operator.domain.snapshot import Conversion, ConversionFailure, ConversionId, ConversionPhase
from forebay_operator.domain.status import Artifact


class ConversionState(enum.Enum):
    DONE = "done"
    RUNNING = "running"
    """Started, or ordered just now."""
    PAUSED = "paused"
    """It failed for a cause that may pass, and is started again after a pause."""
    FAILED = "failed"
    """It fails until the spec changes."""
    SUSPENDED = "suspended"
    """The model is stopped: nothing is started."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Preparation:
    """How far a revision's artifact is."""

    state: ConversionState
    artifact: Artifact | None = None
    progress: str = ""
    failure: ConversionFailure | None = None
    start: StartConversion | None = None
    again_at: float | None = None
    """With `PAUSED`: when the next attempt is due."""


def prepare(
    id: ConversionId,  # noqa: A002 - the word the action and the snapshot use
    spec: DeploymentSpec,
    artifact: Artifact | None,
    seen: Conversion | None,
    now: float,
) -> Preparation:
    """What has to happen until the revision of a spec has an artifact, given the conversion as it is seen now.

    | artifact | conversion seen           | result                              |
    |----------|---------------------------|-------------------------------------|
    | known    | any                       | done                                |
    | none     | succeeded                 | done, with its artifact             |
    | none     | running                   | running                             |
    | none     | failed, retryable, paused | paused, then running with attempt+1 |
    | none     | failed otherwise          | failed                              |
    | none     | none                      | running: started (stopped: not)     |
    """
    if artifact is not None:
        return Preparation(state=ConversionState.DONE, artifact=artifact)
    if seen is None or (seen.phase is ConversionPhase.SUCCEEDED and seen.artifact is None):
        return _begin(id, spec, attempt=1 if seen is None else seen.attempt + 1)
    if seen.phase is ConversionPhase.SUCCEEDED:
        return Preparation(state=ConversionState.DONE, artifact=seen.artifact)
    if seen.phase is ConversionPhase.RUNNING:
        return Preparation(state=ConversionState.RUNNING, progress=seen.progress)
    return _after_failure(id, spec, seen, now)


def forget(conversions: Iterable[Conversion], wanted: Set[ConversionId]) -> list[ForgetConversion]:
    """Those that no ModelDeployment waits for."""
    return [ForgetConversion(id=conversion.id) for conversion in conversions if conversion.id not in wanted]


def _begin(id: ConversionId, spec: DeploymentSpec, attempt: int) -> Preparation:  # noqa: A002 - as above
    if spec.stopped:
        return Preparation(state=ConversionState.SUSPENDED)
    start = StartConversion(
        id=id,
        attempt=attempt,
        source=spec.source,
        verification=spec.verification,
        max_batch_size=spec.serving.max_batch_size,
    )
    return Preparation(state=ConversionState.RUNNING, start=start)


def _after_failure(id: ConversionId, spec: DeploymentSpec, seen: Conversion, now: float) -> Preparation:  # noqa: A002 - as above
    if seen.failure is None or not seen.failure.retryable:
        return Preparation(state=ConversionState.FAILED, failure=seen.failure)
    again_at = (seen.finished_at or seen.started_at) + pause_after(seen.attempt)
    if now < again_at or spec.stopped:
        return Preparation(state=ConversionState.PAUSED, failure=seen.failure, again_at=again_at)
    return _begin(id, spec, seen.attempt + 1)
