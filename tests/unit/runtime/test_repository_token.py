from pathlib import Path

import pytest

from forebay_runtime.server.repository_token import RepositoryToken


class Clock:
    def __init__(self) -> None:
        self.seconds = 0.0

    def __call__(self) -> float:
        return self.seconds


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "token"
    path.write_text("first\n", encoding="utf-8")
    return path


def test_without_a_file_nothing_has_to_be_shown() -> None:
    assert RepositoryToken(None).opens("")


@pytest.mark.parametrize("given", ["", "First", "first ", "second", "tökén", "\udcff"])
def test_only_the_token_of_the_file_opens(file: Path, given: str) -> None:
    token = RepositoryToken(file)

    assert token.opens("first")
    assert not token.opens(given)


def test_an_empty_file_opens_for_nobody(file: Path) -> None:
    file.write_text("\n", encoding="utf-8")

    assert not RepositoryToken(file).opens("")


def test_a_token_that_takes_its_place_opens_and_the_one_before_does_not_any_more(file: Path) -> None:
    clock = Clock()
    token = RepositoryToken(file, clock)
    file.write_text("second\n", encoding="utf-8")

    clock.seconds = 0.5
    assert not token.opens("second"), "the file is read once a second at most"
    clock.seconds = 1.0
    assert token.opens("second")
    assert not token.opens("first")


def test_a_file_that_is_gone_or_empty_for_a_moment_changes_nothing(file: Path) -> None:
    clock = Clock()
    token = RepositoryToken(file, clock)

    file.write_text("", encoding="utf-8")
    clock.seconds = 1.0
    assert not token.opens("second")
    file.unlink()
    clock.seconds = 2.0
    assert not token.opens("second")
    assert token.opens("first")
