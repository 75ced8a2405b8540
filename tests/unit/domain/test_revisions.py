from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain_builders import GIB, a_deployment, a_replica, a_spec, an_artifact
from forebay_operator.domain import revisions
from forebay_operator.domain.deployment import DeploymentSpec, Serving, Verification
from forebay_operator.domain.fleet import Replica
from forebay_operator.domain.revisions import Revisions
from forebay_operator.domain.status import DeploymentStatus, Footprint, FootprintSource, RevisionRecord

A, B = a_spec("data:a"), a_spec("data:b")


def a_status(*records: RevisionRecord, revision: int = 0) -> DeploymentStatus:
    return DeploymentStatus(
        observed_generation=1, revision=revision, replicas=0, ready_replicas=0, selector="", summary="", revisions=records
    )


def recorded(number: int, spec: DeploymentSpec, *, is_converted: bool = True) -> RevisionRecord:
    identity = revisions.identify("default", spec)
    artifact = an_artifact(f"artifact-{spec.source.uri}") if is_converted else None
    return RevisionRecord(number=number, id=identity.revision_id, serving=identity.serving, artifact=artifact)


def assessed(
    spec: DeploymentSpec, said: DeploymentStatus | None, *replicas: Replica, routed: tuple[int, ...] = ()
) -> Revisions:
    deployment = a_deployment(spec=spec, status=said)
    return revisions.assess(deployment, revisions.identify("default", spec), said, replicas, lambda: routed)


def test_the_first_revision_is_number_one() -> None:
    found = assessed(A, None)
    assert found.target.number == 1
    assert found.target.artifact is None
    assert found.older is None
    assert not found.durable


@pytest.mark.parametrize(
    "changed",
    [
        B,
        replace(A, serving=Serving(max_batch_size=8)),
        replace(A, verification=Verification(min_agreement=0.5)),
    ],
)
def test_what_is_served_or_how_makes_a_new_revision(changed: DeploymentSpec) -> None:
    found = assessed(changed, a_status(recorded(1, A), revision=1))
    assert found.target.number == 2
    assert found.older is not None
    assert found.older.number == 1


def test_scaling_and_stopping_make_no_new_revision() -> None:
    assert assessed(replace(A, replicas=5, stopped=True), a_status(recorded(1, A), revision=1)).target.number == 1


def test_going_back_takes_a_new_number_and_the_old_artifact() -> None:
    found = assessed(A, a_status(recorded(1, A), recorded(2, B), revision=1))
    assert found.target.number == 3
    assert found.target.artifact == recorded(1, A).artifact
    assert found.older is not None
    assert found.older.number == 1


def test_a_number_is_above_all_that_anyone_may_still_use() -> None:
    held = a_replica(version=7)
    assert assessed(A, None, held).target.number == 8
    assert assessed(A, None, routed=(9,)).target.number == 10
    assert assessed(B, a_status(recorded(3, A), revision=4)).target.number == 5


def test_a_revision_that_was_never_converted_is_no_way_back() -> None:
    assert assessed(B, a_status(recorded(1, A, is_converted=False), revision=1)).older is None


def test_what_is_ready_is_a_way_back_when_what_served_last_is_not() -> None:
    said = a_status(recorded(1, A), recorded(2, B), recorded(3, A), revision=3)
    found = assessed(a_spec("data:c"), said, a_replica(version=2))
    assert found.older is not None
    assert found.older.number == 2


def test_what_servers_hold_stays_on_record() -> None:
    said = a_status(recorded(1, A), recorded(2, B), revision=2)
    assert [record.number for record in assessed(B, said, a_replica(version=1)).records] == [1, 2]
    assert [record.number for record in assessed(B, said).records] == [2]


def test_servers_hear_of_a_revision_once_its_artifact_is_in_the_written_status() -> None:
    fresh = assessed(A, a_status(recorded(1, A, is_converted=False), revision=1))
    artifact = an_artifact()
    assert not revisions.converted(fresh, artifact, None).durable
    written = a_status(replace(recorded(1, A), artifact=artifact), revision=1)
    assert revisions.converted(fresh, artifact, written).durable


def test_the_largest_footprint_that_was_measured_is_kept() -> None:
    said = a_status(recorded(1, A), revision=1)
    found = assessed(A, said, a_replica("s-1", footprint_bytes=2 * GIB), a_replica("s-2", footprint_bytes=3 * GIB))
    assert found.target.footprint == Footprint(3 * GIB, FootprintSource.MEASURED)
    again = assessed(A, a_status(found.target, revision=1), a_replica(footprint_bytes=GIB))
    assert again.target.footprint == found.target.footprint


def test_a_replica_needs_what_was_measured_else_declared_else_estimated() -> None:
    estimated = recorded(1, A)
    measured = replace(estimated, footprint=Footprint(5, FootprintSource.MEASURED))
    assert revisions.need_of(measured, 7) == Footprint(5, FootprintSource.MEASURED)
    assert revisions.need_of(estimated, 7) == Footprint(7, FootprintSource.DECLARED)
    assert revisions.need_of(estimated, None) == Footprint(GIB, FootprintSource.ESTIMATED)
    assert revisions.need_of(replace(estimated, artifact=None), None) is None


@given(
    st.builds(
        Serving,
        max_batch_size=st.integers(0, 64),
        preferred_batch_sizes=st.lists(st.integers(1, 64), max_size=3).map(tuple),
        max_queue_delay_us=st.integers(0, 10_000),
        provider=st.sampled_from(["auto", "cpu", "cuda"]),
    )
)
def test_serving_settings_survive_in_a_record(serving: Serving) -> None:
    record = assessed(replace(A, serving=serving), None).target
    assert revisions.serving_of(record) == serving


@given(st.lists(st.sampled_from(["a", "b", "c"]), min_size=1, max_size=12))
def test_numbers_rise_with_every_change_and_are_never_used_again(uris: list[str]) -> None:
    said: DeploymentStatus | None = None
    ids: dict[int, str] = {}
    for uri in uris:
        found = assessed(a_spec(f"data:{uri}"), said)
        assert ids.setdefault(found.target.number, found.target.id) == found.target.id
        assert found.target.number == max(ids)
        said = a_status(*found.records, revision=found.target.number)


@pytest.mark.parametrize(("batching", "max_batch_size"), [(True, 8), (False, 0)])
def test_a_model_whose_batch_dimension_is_fixed_is_loaded_without_batching(*, batching: bool, max_batch_size: int) -> None:
    record = recorded(1, replace(A, serving=Serving(max_batch_size=8, preferred_batch_sizes=(4,))))
    assert record.artifact is not None
    converted = replace(record, artifact=replace(record.artifact, batching=batching))

    assert revisions.loaded_serving_of(converted).max_batch_size == max_batch_size
