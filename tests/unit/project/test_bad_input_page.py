"""docs/bad-input.md names tests; each of them is there."""

import re
from pathlib import Path

PROJECT = Path(__file__).parents[3]
NAMED = re.compile(r"`(tests/[\w/]+\.py)::(\w+)`")


def test_every_test_that_the_page_names_exists() -> None:
    page = (PROJECT / "docs" / "bad-input.md").read_text()
    named = NAMED.findall(page)
    assert named

    missing = [f"{path}::{name}" for path, name in named if not _holds(PROJECT / path, name)]

    assert not missing


def test_every_row_names_a_test() -> None:
    page = (PROJECT / "docs" / "bad-input.md").read_text()
    rows = [line for line in page.splitlines() if line.startswith("| ") and not line.startswith("| what ")]

    assert not [row for row in rows if not NAMED.search(row)]


def _holds(path: Path, name: str) -> bool:
    return path.is_file() and re.search(rf"^(async )?def {name}\(", path.read_text(), re.MULTILINE) is not None
