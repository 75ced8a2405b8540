import os
from pathlib import Path

import pytest

from forebay_operator.worlds.local.state import replace_text
from forebay_operator.worlds.local.watched_files import FileChange, WatchedFiles


def test_the_first_look_finds_every_file_and_the_next_one_none(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").touch()
    (tmp_path / ".b.yaml.swp").touch()
    (tmp_path / "notes.txt").touch()
    files = WatchedFiles([tmp_path])

    assert files.changes() == [FileChange(tmp_path / "a.yaml", gone=False)]
    assert files.changes() == []


def test_edits_replacements_additions_and_removals_are_found(tmp_path: Path) -> None:
    one, two = tmp_path / "one.yaml", tmp_path / "two.yml"
    one.write_text("a")
    files = WatchedFiles([tmp_path])
    files.changes()

    replace_text(one, "b")
    two.touch()
    assert files.changes() == [FileChange(one, gone=False), FileChange(two, gone=False)]
    one.unlink()
    assert files.changes() == [FileChange(one, gone=True)]


def test_a_file_that_is_named_itself_may_have_any_ending(tmp_path: Path) -> None:
    (tmp_path / "model").touch()

    assert WatchedFiles([tmp_path / "model"]).changes() == [FileChange(tmp_path / "model", gone=False)]


def test_a_change_that_could_not_be_followed_is_found_again(tmp_path: Path) -> None:
    one, two = tmp_path / "one.yaml", tmp_path / "two.yaml"
    one.touch()
    two.touch()
    files = WatchedFiles([tmp_path])
    files.changes()
    one.unlink()
    two.write_text("changed")

    for change in files.changes():
        files.look_again(change)

    assert files.changes() == [FileChange(two, gone=False), FileChange(one, gone=True)]
    assert files.changes() == []


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_files_of_a_folder_that_cannot_be_read_are_not_taken_for_gone(tmp_path: Path) -> None:
    folder = tmp_path / "folder"
    folder.mkdir()
    (folder / "one.yaml").touch()
    files = WatchedFiles([folder])
    files.changes()

    folder.chmod(0)
    try:
        seen = files.changes()
    finally:
        folder.chmod(0o700)

    assert seen == [FileChange(folder, gone=False)]
    assert files.changes() == [FileChange(folder, gone=True)]


def test_what_is_present_is_still_new_to_the_first_look(tmp_path: Path) -> None:
    (tmp_path / "one.yaml").touch()
    files = WatchedFiles([tmp_path, tmp_path / "none.yaml"])

    assert files.present() == {tmp_path / "one.yaml"}
    assert files.changes() == [FileChange(tmp_path / "one.yaml", gone=False)]
