"""What people wrote becomes what is wanted, file by file; one that fails stops no other."""

import os
from pathlib import Path

import pytest

from forebay_operator.worlds.clock import Clock
from forebay_operator.worlds.local.admission import Admission, Document, read_changes, read_documents
from forebay_operator.worlds.local.objects import Objects
from forebay_operator.worlds.local.processes import ProcessHost
from forebay_operator.worlds.local.state import StateFolder, fresh_run_folder
from forebay_operator.worlds.local.surroundings import Surroundings
from forebay_operator.worlds.local.watched_files import WatchedFiles
from local_models import a_deployment


class Desk:
    """An admission over a state folder and a folder of files, and what it told."""

    def __init__(self, root: Path) -> None:
        self.files = root / "files"
        self.files.mkdir()
        self.told: list[tuple[str, str]] = []
        folder = StateFolder(root / "state")
        folder.prepare()
        self.kept = folder.objects
        around = Surroundings(
            folder=folder,
            run=fresh_run_folder(folder),
            host=ProcessHost(folder),
            clock=Clock(),
            changed=lambda: None,
            tell=lambda subject, text: self.told.append((subject, text)),
        )
        self._objects = Objects(folder.objects, around.tell)
        self._watched = WatchedFiles([self.files])
        self.admission = Admission(self._objects, around)

    def look(self) -> None:
        self.told.clear()
        self.admission.follow(read_changes(self._watched), self._watched)

    def uri_of(self, name: str) -> str:
        found = next(stored for stored in self._objects.all() if stored.deployment.address.name == name)
        return found.deployment.spec.source.uri

    def names(self) -> list[str]:
        return [stored.deployment.address.name for stored in self._objects.all()]


@pytest.fixture
async def desk(tmp_path: Path) -> Desk:
    return Desk(tmp_path)


async def test_a_mistake_is_told_once_with_file_line_and_remedy(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(desk.files.parent)
    (desk.files / "iris.yaml").write_text(a_deployment("iris", "/iris.onnx") + "  replics: 2\n")

    desk.look()

    assert desk.told == [
        ("files/iris.yaml:9", "spec.replics: there is no field `replics` in spec: did you mean `replicas`?"),
    ]


async def test_a_file_that_fails_stops_no_other_and_is_tried_again(desk: Desk) -> None:
    for name in ("one", "two", "three"):
        (desk.files / f"{name}.yaml").write_text(
            a_deployment(name, "/model.onnx") + f"---\n{a_deployment(name + 'b', '/m.onnx')}"
        )
    blocked = desk.kept / "default" / "three.json"
    blocked.mkdir(parents=True)
    (blocked / "in-the-way").touch()

    desk.look()

    # One object of the file could not be kept; the other of the same file, and those of the other files, were.
    assert set(desk.names()) >= {"one", "oneb", "threeb", "two", "twob"}
    assert any("default/three cannot be kept" in text and "make room" in text for _, text in desk.told)

    (blocked / "in-the-way").unlink()
    blocked.rmdir()
    desk.look()

    assert set(desk.names()) == {"one", "oneb", "three", "threeb", "two", "twob"}
    desk.look()
    assert desk.told == []


async def test_what_is_applied_and_cannot_be_kept_is_answered_as_a_problem(desk: Desk) -> None:
    (desk.kept / "default" / "one.json" / "in-the-way").mkdir(parents=True)

    verdict = desk.admission.apply(read_documents([Document("given.yaml", desk.files, a_deployment("one", "/model.onnx"))]))

    assert verdict.unsettled
    assert str(verdict.problems[0]).startswith("given.yaml:1: default/one cannot be kept")


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
async def test_models_of_a_file_that_cannot_be_read_any_more_stay(desk: Desk) -> None:
    file = desk.files / "one.yaml"
    file.write_text(a_deployment("one", "/model.onnx"))
    desk.look()

    file.chmod(0)
    # A file that is written anew is another one, and so are its permissions.
    os.utime(file, (1, 1))
    desk.look()

    assert desk.names() == ["one"]
    assert "cannot be read (Permission denied): check its permissions" in desk.told[0][1]


async def test_a_name_in_two_files_is_that_of_the_first_until_that_one_is_gone(desk: Desk) -> None:
    first, second = desk.files / "a.yaml", desk.files / "b.yaml"
    first.write_text(a_deployment("one", "/first.onnx"))
    desk.look()
    second.write_text(a_deployment("one", "/second.onnx"))

    desk.look()

    assert desk.uri_of("one") == "/first.onnx"
    assert desk.told == [
        (
            f"{second}:1",
            f"there is another ModelDeployment default/one in {first}: rename one, or remove it; the first is taken",
        )
    ]
    first.unlink()
    desk.look()
    desk.look()
    assert desk.uri_of("one") == "/second.onnx"


async def test_a_file_that_is_renamed_keeps_its_models(desk: Desk) -> None:
    file = desk.files / "b.yaml"
    file.write_text(a_deployment("one", "/first.onnx"))
    desk.look()

    file.rename(desk.files / "a.yaml")
    desk.look()

    assert desk.names() == ["one"]
    assert desk.told == []
