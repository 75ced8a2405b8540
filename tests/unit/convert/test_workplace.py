from pathlib import Path

import pytest

from forebay_convert.workplace import own_folder

PREFIX = "ours-"


def test_a_folder_is_there_for_as_long_as_it_is_needed(tmp_path: Path) -> None:
    with own_folder(tmp_path / "parent", PREFIX) as folder:
        (folder / "file").touch()
        assert folder.parent == tmp_path / "parent"

    assert list((tmp_path / "parent").iterdir()) == []


def test_a_folder_is_removed_after_an_error_too(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError), own_folder(tmp_path, PREFIX):
        raise RuntimeError

    assert list(tmp_path.iterdir()) == []


def test_what_a_killed_process_left_is_removed_by_the_next(tmp_path: Path) -> None:
    left = tmp_path / f"{PREFIX}left"
    left.mkdir()
    (left / "file").touch()
    (tmp_path / "not-ours").mkdir()

    with own_folder(tmp_path, PREFIX):
        assert not left.exists()

    assert [path.name for path in tmp_path.iterdir()] == ["not-ours"]


def test_what_another_still_uses_stays(tmp_path: Path) -> None:
    with own_folder(tmp_path, PREFIX) as one, own_folder(tmp_path, PREFIX) as other:
        assert one.is_dir()
        assert one != other


def test_a_folder_that_was_renamed_stays(tmp_path: Path) -> None:
    with own_folder(tmp_path, PREFIX) as folder:
        folder.rename(tmp_path / "final")

    assert [path.name for path in tmp_path.iterdir()] == ["final"]
