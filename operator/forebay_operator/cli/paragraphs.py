"""Lines under a title, in two columns: on a terminal wrapped to its width, elsewhere as they are."""

import shutil
import sys
import textwrap
from collections.abc import Iterable, Iterator
from typing import Final

_NARROWEST: Final = 20


def terminal_width() -> int | None:
    """The columns of the terminal that is written to; None: there is none."""
    return shutil.get_terminal_size().columns if sys.stdout.isatty() else None


def titled(title: str, lines: Iterable[str], indent: int, width: int | None) -> Iterator[str]:
    """The title beside the first line; every line begins at `indent`, also where it goes on."""
    for number, line in enumerate(lines):
        head = f"{title if number == 0 else '':<{indent}}"
        yield from _wrapped(head, line, indent, width)


def _wrapped(head: str, line: str, indent: int, width: int | None) -> list[str]:
    if width is None or width < indent + _NARROWEST:
        return [head + line]
    return textwrap.wrap(
        line,
        width,
        initial_indent=head,
        subsequent_indent=" " * indent,
        # What is copied from here, a path or a URI, stays whole.
        break_long_words=False,
        break_on_hyphens=False,
    ) or [head.rstrip()]
