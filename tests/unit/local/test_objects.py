import os
from pathlib import Path

import pytest

from forebay_operator.api.loading import load_text
from forebay_operator.api.v1alpha1 import ModelDeployment
from forebay_operator.domain.status import DeploymentStatus
from forebay_operator.worlds.local.objects import Objects, Outcome, RefusedChangeError
from forebay_schema.addresses import ModelAddress
from local_models import a_deployment

DIGITS = ModelAddress("default", "digits")
SERVES = DeploymentStatus(
    observed_generation=1, revision=3, replicas=1, ready_replicas=1, selector="", summary="Ready: 1 of 1 replica."
)


def opened(folder: Path) -> Objects:
    return Objects(folder, lambda _subject, _text: None)


def wanted(**spec: object) -> ModelDeployment:
    loaded = load_text(a_deployment("digits", "/digits.onnx", **spec))
    assert not loaded.problems
    return loaded.objects[0]


def test_an_object_is_created_once_then_changed_or_left_alone(tmp_path: Path) -> None:
    objects = opened(tmp_path)

    outcomes = [objects.apply(wanted(**spec), "") for spec in ({}, {}, {"replicas": 2}, {"replicas": 2})]

    assert outcomes == [Outcome.CREATED, Outcome.UNCHANGED, Outcome.CONFIGURED, Outcome.UNCHANGED]


def test_each_change_of_the_spec_has_the_next_generation_and_the_same_identity(tmp_path: Path) -> None:
    objects = opened(tmp_path)
    objects.apply(wanted(), "")
    first = objects.all()[0].deployment

    objects.apply(wanted(replicas=2), "")

    second = objects.all()[0].deployment
    assert (first.generation, second.generation) == (1, 2)
    assert first.uid == second.uid
    assert second.spec.replicas == 2


def test_objects_and_statuses_are_there_again_after_a_restart(tmp_path: Path) -> None:
    objects = opened(tmp_path)
    objects.apply(wanted(), "/digits.yaml")
    uid = objects.all()[0].deployment.uid
    objects.write_status(DIGITS, uid, SERVES)

    (stored,) = opened(tmp_path).all()

    assert (stored.deployment.uid, stored.origin, stored.deployment.status) == (uid, "/digits.yaml", SERVES)


def test_what_cannot_be_written_is_not_taken_and_room_is_enough(tmp_path: Path) -> None:
    objects = opened(tmp_path)
    (tmp_path / "default").touch()

    with pytest.raises(OSError, match="exists"):
        objects.apply(wanted(), "")
    assert objects.all() == ()

    (tmp_path / "default").unlink()
    assert objects.apply(wanted(), "") is Outcome.CREATED
    assert opened(tmp_path).get(DIGITS) is not None


def test_a_status_that_cannot_be_written_is_kept_told_once_and_written_as_soon_as_it_can_be(tmp_path: Path) -> None:
    told: list[str] = []
    objects = Objects(tmp_path, lambda _subject, text: told.append(text))
    objects.apply(wanted(), "")
    uid = objects.all()[0].deployment.uid
    # Where the new file would be written.
    in_the_way = tmp_path / "default" / f".digits.json.{os.getpid()}.new"
    in_the_way.mkdir()

    for _ in range(2):
        objects.write_status(DIGITS, uid, SERVES)
        objects.catch_up()
    assert objects.all()[0].deployment.status == SERVES
    assert told == [f"cannot be written (Is a directory): make room in {tmp_path}, or mend it; all goes on meanwhile"]

    in_the_way.rmdir()
    objects.catch_up()
    assert opened(tmp_path).all()[0].deployment.status == SERVES
    assert told[1:] == ["is written again"]


def test_a_change_keeps_the_status_until_a_new_one_is_written(tmp_path: Path) -> None:
    objects = opened(tmp_path)
    objects.apply(wanted(), "")
    objects.write_status(DIGITS, objects.all()[0].deployment.uid, SERVES)

    objects.apply(wanted(replicas=2), "")

    assert objects.all()[0].deployment.status == SERVES


def test_a_status_for_an_object_that_was_made_anew_is_dropped(tmp_path: Path) -> None:
    objects = opened(tmp_path)
    objects.apply(wanted(), "")
    old = objects.all()[0].deployment.uid
    objects.delete(DIGITS)
    objects.apply(wanted(), "")

    objects.write_status(DIGITS, old, SERVES)

    assert objects.all()[0].deployment.status is None


def test_a_field_that_cannot_be_changed_is_refused_by_name(tmp_path: Path) -> None:
    objects = opened(tmp_path)
    objects.apply(wanted(), "")

    with pytest.raises(RefusedChangeError, match=r"spec\.placement\.exclusive"):
        objects.apply(wanted(placement={"exclusive": True}), "")


def test_a_file_that_is_no_object_does_not_hide_the_others(tmp_path: Path) -> None:
    opened(tmp_path).apply(wanted(), "")
    (tmp_path / "default" / "broken.json").write_text('{"object": {"kind": "Other"}}')
    (tmp_path / "default" / "half.json").write_text('{"obj')

    assert [stored.deployment.address for stored in opened(tmp_path).all()] == [DIGITS]


def test_a_file_that_is_no_object_is_told_and_kept(tmp_path: Path) -> None:
    told: list[tuple[str, str]] = []
    folder = tmp_path / "default"
    folder.mkdir()
    contents = {"half.json": '{"obj', "other.json": '{"object": {"kind": "Other"}}', "list.json": '{"object": []}'}
    for name, content in contents.items():
        (folder / name).write_text(content)

    Objects(tmp_path, lambda subject, text: told.append((subject, text)))

    assert sorted(subject for subject, _ in told) == ["default/half", "default/list", "default/other"]
    assert all("cannot be read" in text for _, text in told)
    assert {path.name: path.read_text() for path in folder.iterdir()} == contents
