from domain_builders import NOW, a_holding, a_record, a_server, an_artifact
from forebay_operator.domain import collection
from forebay_operator.domain.actions import CollectArtifact
from forebay_operator.domain.collection import ArtifactKey, Collected
from forebay_operator.domain.snapshot import Conversion, ConversionId, ConversionPhase, StoredArtifact
from forebay_operator.domain.status import DeploymentStatus

KEY = ("default", "a")


def collected(
    *,
    named: set[ArtifactKey] | None = None,
    running: bool = False,
    since: dict[ArtifactKey, float] | None = None,
    stored_at: float = NOW - 5000,
    now: float = NOW,
) -> Collected:
    conversions = [Conversion(id=ConversionId("default", "x"), phase=ConversionPhase.RUNNING)] if running else []
    stored = [StoredArtifact(namespace="default", digest="a", stored_at=stored_at)]
    return collection.collect(stored, named or set(), conversions, since or {}, grace_s=100.0, now=now)


def test_an_artifact_that_nobody_names_is_deleted_after_the_grace_period() -> None:
    first = collected()
    assert not first.actions
    assert first.unnamed_since == {KEY: NOW}
    assert not collected(since={KEY: NOW}, now=NOW + 99).actions
    assert collected(since={KEY: NOW}, now=NOW + 100).actions == (CollectArtifact(namespace="default", digest="a"),)


def test_a_named_artifact_stays_and_its_time_starts_anew() -> None:
    found = collected(named={KEY}, since={KEY: NOW - 1000})
    assert found == Collected((), {}, NOW)


def test_a_fresh_artifact_has_its_grace_period_too() -> None:
    assert not collected(since={KEY: NOW - 1000}, stored_at=NOW - 50).actions


def test_nothing_is_deleted_where_a_conversion_may_be_about_to_find_it() -> None:
    assert not collected(since={KEY: NOW - 1000}, running=True).actions


def test_statuses_servers_and_conversions_name_artifacts() -> None:
    status = DeploymentStatus(
        observed_generation=1,
        revision=1,
        replicas=0,
        ready_replicas=0,
        selector="",
        summary="",
        revisions=(a_record(1),),
        artifact=an_artifact("b"),
    )
    assert collection.named_by_status("default", status) == [("default", "a1"), ("default", "b")]
    assert collection.named_by_status("default", None) == []
    done = Conversion(id=ConversionId("other", "x"), phase=ConversionPhase.SUCCEEDED, artifact=an_artifact("c"))
    named = collection.named_by_world([a_server("s-1", a_holding(digest="d"))], [done])
    assert named == {("default", "d"), ("other", "c")}
