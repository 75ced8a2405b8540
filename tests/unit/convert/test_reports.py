import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from forebay_convert.reports import Hearing, RefusalError, printable, tell_note, tell_phase, tell_refusal


def heard(*lines: str) -> tuple[Hearing, list[str]]:
    phases: list[str] = []
    hearing = Hearing(phases.append)
    for line in lines:
        hearing.hear(line)
    return hearing, phases


def test_what_a_child_tells_is_heard(capsys: pytest.CaptureFixture[str]) -> None:
    tell_phase("loaded")
    tell_note("saved with scikit-learn 1.2")
    tell_refusal(RefusalError("load", "It is broken.", "Mend it."))

    hearing, phases = heard(*capsys.readouterr().out.splitlines())

    assert phases == ["loaded"]
    assert hearing.notes == ["saved with scikit-learn 1.2"]
    assert hearing.refused is not None
    assert (hearing.refused.stage, hearing.refused.cause, hearing.refused.remedy) == ("load", "It is broken.", "Mend it.")


@given(st.text(max_size=200))
def test_whatever_else_a_child_prints_does_no_harm(line: str) -> None:
    heard(line, json.dumps(line), json.dumps([line]), json.dumps({"phase": {"a": line}}), json.dumps({"refusal": [line]}))


def test_deep_nesting_does_no_harm() -> None:
    hearing, phases = heard('{"phase": ' + "[" * 100_000)

    assert (hearing.phase, phases) == ("", [])


@given(st.text(max_size=400), st.integers(1, 50))
def test_what_is_shown_is_short_and_printable(text: str, length: int) -> None:
    shown = printable(text, length)

    assert len(shown) <= length
    assert shown.isprintable()


def test_no_more_than_a_few_notes_are_kept() -> None:
    hearing, _ = heard(*(json.dumps({"note": str(number)}) for number in range(100)))

    assert len(hearing.notes) == 8
