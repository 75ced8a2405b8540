from pathlib import Path

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
