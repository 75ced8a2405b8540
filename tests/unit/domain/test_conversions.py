import pytest

from domain_builders import NOW, a_spec, an_artifact
from forebay_operator.domain import conversions
from forebay_operator.domain.conversions import ConversionState, Preparation
from forebay_operator.domain.deployment import DeploymentSpec
from forebay_operator.domain.snapshot import Conversion, ConversionFailure, ConversionId, ConversionPhase

ID = ConversionId("default", "d")
SPEC = a_spec()
FOR_GOOD = ConversionFailure(stage="convert", cause="no", remedy="change it")
FOR_NOW = ConversionFailure(stage="fetch", cause="network", remedy="wait", retryable=True)


def a_conversion(phase: ConversionPhase, failure: ConversionFailure | None = None, attempt: int = 1) -> Conversion:
    artifact = an_artifact() if phase is ConversionPhase.SUCCEEDED else None
    finished = None if phase is ConversionPhase.RUNNING else NOW
    return Conversion(id=ID, phase=phase, attempt=attempt, finished_at=finished, failure=failure, artifact=artifact)


def prepared(seen: Conversion | None, spec: DeploymentSpec = SPEC, now: float = NOW + 1) -> Preparation:
    return conversions.prepare(ID, spec, None, seen, now)


def test_a_known_artifact_needs_no_conversion() -> None:
    found = conversions.prepare(ID, SPEC, an_artifact(), a_conversion(ConversionPhase.FAILED, FOR_GOOD), NOW)
    assert found.state is ConversionState.DONE


def test_what_was_never_converted_is_started() -> None:
    found = prepared(None)
    assert found.state is ConversionState.RUNNING
    assert found.start is not None
    assert (found.start.id, found.start.attempt, found.start.source) == (ID, 1, SPEC.source)


def test_what_runs_is_left_alone() -> None:
    found = prepared(a_conversion(ConversionPhase.RUNNING))
    assert found.state is ConversionState.RUNNING
    assert found.start is None


def test_what_succeeded_gives_its_artifact() -> None:
    found = prepared(a_conversion(ConversionPhase.SUCCEEDED))
    assert found.state is ConversionState.DONE
    assert found.artifact == an_artifact()


def test_what_failed_for_good_waits_for_another_spec() -> None:
    found = prepared(a_conversion(ConversionPhase.FAILED, FOR_GOOD), now=NOW + 1e6)
    assert found.state is ConversionState.FAILED
    assert found.start is None


@pytest.mark.parametrize(("attempt", "pause"), [(1, 10), (2, 20), (4, 80), (9, 300)])
def test_what_may_pass_is_tried_again_after_a_growing_pause(attempt: int, pause: float) -> None:
    seen = a_conversion(ConversionPhase.FAILED, FOR_NOW, attempt)
    early = prepared(seen, now=NOW + pause - 1)
    assert early.state is ConversionState.PAUSED
    assert early.start is None
    late = prepared(seen, now=NOW + pause)
    assert late.start is not None
    assert late.start.attempt == attempt + 1


def test_nothing_is_started_for_a_model_that_is_stopped() -> None:
    stopped = a_spec(stopped=True)
    assert prepared(None, stopped).state is ConversionState.SUSPENDED
    assert prepared(a_conversion(ConversionPhase.FAILED, FOR_NOW), stopped, now=NOW + 1e6).start is None


def test_what_nobody_waits_for_is_forgotten() -> None:
    known = a_conversion(ConversionPhase.RUNNING)
    assert conversions.forget([known], {ID}) == []
    assert [action.id for action in conversions.forget([known], set())] == [ID]
