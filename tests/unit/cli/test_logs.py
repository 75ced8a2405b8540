import json
from pathlib import Path

from forebay_operator.cli.log_reader import LogReader


def a_line(message: str, second: int = 0, **fields: str) -> str:
    return json.dumps({"time": f"2026-01-01T00:00:{second:02}+00:00", "level": "info", "message": message, **fields}) + "\n"


def test_a_models_own_log_is_shown_whole_and_shared_ones_where_they_mention_it(tmp_path: Path) -> None:
    own, shared = tmp_path / "conversion.log", tmp_path / "server.log"
    own.write_text(a_line("fetched", second=1))
    shared.write_text(a_line("model loaded", second=2, model="digits") + a_line("model loaded", model="digits-2"))

    lines = LogReader("digits").more([str(own)], [str(shared)])

    assert "fetched" in lines[0]
    assert "model=digits" in lines[1]


def test_only_what_is_new_is_shown_the_next_time_and_half_a_line_waits(tmp_path: Path) -> None:
    log = tmp_path / "conversion.log"
    log.write_text(a_line("first") + '{"time": "2026')
    reader = LogReader("digits")
    first = reader.more([str(log)], [])
    log.write_text(a_line("first") + a_line("second"))

    assert len(first) == 1
    assert ["second" in line for line in reader.more([str(log)], [])] == [True]


def test_a_log_that_was_emptied_is_read_from_its_beginning(tmp_path: Path) -> None:
    log = tmp_path / "conversion.log"
    log.write_text(a_line("a long first line that is moved away"))
    reader = LogReader("digits")
    reader.more([str(log)], [])
    log.write_text(a_line("new"))

    assert "new" in reader.more([str(log)], [])[0]


def test_words_of_libraries_stay_beside_the_line_before_them(tmp_path: Path) -> None:
    log = tmp_path / "conversion.log"
    log.write_text(a_line("loading", second=5) + "a warning of some library\n" + a_line("earlier", second=1))

    assert [line.split()[-1] for line in LogReader("digits").more([str(log)], [])] == ["earlier", "loading", "library"]
