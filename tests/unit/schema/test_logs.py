import errno
import io
import json
import logging
import os
from collections.abc import Iterator

import pytest

from forebay_schema import logs


@pytest.fixture(autouse=True)
def _restore_root_logger() -> Iterator[None]:
    handlers, level = logging.root.handlers[:], logging.root.level
    yield
    logging.root.handlers[:] = handlers
    logging.root.setLevel(level)


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_a_line_that_no_person_reads_is_json_with_the_fields_beside_the_constant_message() -> None:
    stream = io.StringIO()
    logs.configure(stream=stream)

    logs.Logger("forebay.test").info("model loaded", model="digits", seconds=1.5)

    line = json.loads(stream.getvalue())
    assert (line["message"], line["level"], line["model"], line["seconds"]) == ("model loaded", "info", "digits", 1.5)


def test_a_line_on_a_terminal_is_readable() -> None:
    stream = Terminal()
    logs.configure(stream=stream)

    logs.Logger("forebay.test").warning("server lost", server="s 1", code=9)

    assert stream.getvalue().endswith('warning server lost  server="s 1" code=9\n')


def test_an_exception_is_logged_with_its_traceback() -> None:
    stream = io.StringIO()
    logs.configure(stream=stream)

    try:
        int("boom")
    except ValueError:
        logs.Logger("forebay.test").exception("step failed")

    assert "ValueError: invalid literal" in json.loads(stream.getvalue())["traceback"]


class Full(io.StringIO):
    def write(self, _text: str) -> int:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def test_a_line_that_there_is_no_room_for_is_left_out_without_another_word(capsys: pytest.CaptureFixture[str]) -> None:
    logs.configure(stream=Full())

    logs.Logger("forebay.test").info("model loaded")

    assert capsys.readouterr().err == ""
