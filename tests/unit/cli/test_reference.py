from pathlib import Path

from forebay_operator.cli import reference

PAGE = Path(__file__).parents[3] / "docs/command-line.md"


def test_the_page_of_the_command_line_says_what_the_commands_say() -> None:
    assert reference.document() == PAGE.read_text(encoding="utf-8"), "stale: run `make crds`"
