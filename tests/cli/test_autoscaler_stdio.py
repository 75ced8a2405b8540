"""`forebay autoscaler --stdio`, called directly and as a process."""

import argparse
import io
import json
import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from forebay_operator.cli import autoscaler
from forebay_operator.domain.deployment import Autoscaling

SIGNALS = ("waiting", "executing", "held", "arrivals_per_s", "busy_share")
IDLE = {"replicas_ready": 1, "replicas_starting": 0, **dict.fromkeys(SIGNALS, 0)}


def a_line(t: float, **values: object) -> bytes:
    return json.dumps({"t": t, **IDLE, **values}).encode() + b"\n"


def answers(*lines: bytes, notes: io.StringIO | None = None, **policy: float) -> list[dict[str, object]]:
    session = autoscaler.Session(Autoscaling(**policy), notes=notes or io.StringIO())  # type: ignore[arg-type]  # by name
    out = io.StringIO()
    autoscaler.serve(session, lines, out)
    return [json.loads(line) for line in out.getvalue().splitlines()]


def error_of(line: bytes) -> str:
    (answer,) = answers(line)
    assert list(answer) == ["error"]
    return str(answer["error"])


def test_every_line_is_answered_with_replicas_and_a_reason() -> None:
    found = answers(a_line(1), a_line(2), a_line(3))
    assert [answer["replicas"] for answer in found] == [1, 1, 1]
    assert all(isinstance(answer["reason"], str) and answer["reason"] for answer in found)


def test_held_requests_wake_a_model_at_once() -> None:
    asleep, awake = answers(a_line(1, replicas_ready=0), a_line(2, replicas_ready=0, held=1, arrivals_per_s=1))
    assert asleep["replicas"] == 0
    assert awake["replicas"] == 1


def test_what_the_policy_remembers_goes_from_line_to_line() -> None:
    quiet = [a_line(float(t)) for t in range(61)]
    assert [answer["replicas"] for answer in answers(*quiet, idle_timeout_s=30.0)][::60] == [1, 0]


def test_limits_are_flags() -> None:
    (answer,) = answers(a_line(1, replicas_ready=0), min_replicas=3)
    assert answer["replicas"] == 3


def test_unknown_signals_hold_the_present_count() -> None:
    unknown = dict.fromkeys(SIGNALS)
    lines = [a_line(float(t), **{**unknown, "replicas_ready": 2}) for t in range(0, 600, 10)]
    assert {answer["replicas"] for answer in answers(*lines, idle_timeout_s=5.0)} == {2}


def test_an_absent_signal_is_unknown() -> None:
    line = b'{"t": 1, "replicas_ready": 2, "replicas_starting": 0}'
    (answer,) = answers(line)
    assert answer["replicas"] == 2


@pytest.mark.parametrize(
    ("line", "words"),
    [
        (b"", "line 1: it is empty"),
        (b"{", "line 1: it is no JSON ("),
        (b"\xff\n", "line 1: it is no"),
        (b"[1]\n", "line 1: it is no JSON object, but [1]"),
        (b"{}\n", "line 1: t is missing"),
        (a_line(1, replicas_ready=1.5), "line 1: replicas_ready is 1.5: it has to be a whole number"),
        (a_line(1, replicas_starting=-1), "line 1: replicas_starting is -1: it has to be a number from 0 to 1e+12"),
        (a_line(1, replicas_ready=None), "line 1: replicas_ready is null: it has to be a number"),
        (a_line(1, waiting="3"), 'line 1: waiting is "3": it has to be a number'),
        (a_line(1, waiting=True), "line 1: waiting is true: it has to be a number"),
        (a_line(1, held=float("nan")), "line 1: held is nan"),
        (a_line(1, held=10**400), "line 1: held is 1000"),
        (b"[" * 100_000, "line 1: it is no JSON ("),
        (a_line(1, busy_share=1.5), "line 1: busy_share is 1.5: it is the mean share of a replica, from 0 to 1"),
    ],
)
def test_a_line_that_cannot_be_read_is_named_with_its_cause(line: bytes, words: str) -> None:
    assert words in error_of(line)


def test_after_a_broken_line_it_goes_on() -> None:
    found = answers(a_line(1), b"broken\n", a_line(2))
    assert [list(answer) for answer in found] == [["replicas", "reason"], ["error"], ["replicas", "reason"]]
    assert "line 2" in str(found[1]["error"])


def test_time_does_not_go_back() -> None:
    _, answer = answers(a_line(10), a_line(9))
    assert answer["error"] == "line 2: t goes back from 10 to 9"


def test_unknown_keys_are_named_once() -> None:
    notes = io.StringIO()
    found = answers(a_line(1, heldd=3), a_line(2, heldd=3), a_line(3, other=1, heldd=2), notes=notes)
    assert [answer["replicas"] for answer in found] == [1, 1, 1]
    first, second = notes.getvalue().splitlines()
    assert "ignored: heldd;" in first
    assert "ignored: other;" in second


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)


@given(st.lists(st.binary(max_size=40) | st.builds(lambda value: json.dumps(value).encode(), JSON), max_size=5))
def test_whatever_comes_every_line_gets_one_answer(lines: list[bytes]) -> None:
    assert len(answers(*lines)) == len(lines)


@given(
    st.lists(
        st.fixed_dictionaries(
            {
                "replicas_ready": st.integers(0, 10),
                "replicas_starting": st.integers(0, 10),
                "waiting": st.none() | st.floats(0, 1e6),
                "executing": st.none() | st.floats(0, 1e6),
                "held": st.none() | st.integers(0, 10**6),
                "arrivals_per_s": st.none() | st.floats(0, 1e6),
                "busy_share": st.none() | st.floats(0, 1),
            }
        ),
        max_size=30,
    )
)
def test_replicas_stay_within_the_limits(signals: list[dict[str, object]]) -> None:
    lines = [a_line(float(t), **values) for t, values in enumerate(signals)]
    found = answers(*lines, min_replicas=1, max_replicas=4)
    assert all(answer["replicas"] in range(1, 5) for answer in found)


def test_flags_take_seconds_and_durations() -> None:
    parser = argparse.ArgumentParser()
    autoscaler.add(parser.add_subparsers())
    options = parser.parse_args(
        ["autoscaler", "--stdio", "--min-replicas=1", "--max-replicas=3", "--scale-down-delay=2m", "--idle-timeout=90"]
    )
    assert autoscaler.session_of(options).policy == Autoscaling(
        min_replicas=1, max_replicas=3, scale_down_delay_s=120.0, idle_timeout_s=90.0
    )


@pytest.mark.parametrize("flag", ["--min-replicas=-1", "--target-queue-depth=0", "--idle-timeout=soon", "--max-replicas=many"])
def test_a_flag_that_makes_no_sense_is_refused(flag: str, capsys: pytest.CaptureFixture[str]) -> None:
    parser = argparse.ArgumentParser()
    autoscaler.add(parser.add_subparsers())
    with pytest.raises(SystemExit) as refused:
        parser.parse_args(["autoscaler", "--stdio", flag])
    assert refused.value.code == 2
    assert flag.partition("=")[0] in capsys.readouterr().err


class TestProcess:
    COMMAND = (sys.executable, "-m", "forebay_operator.cli.autoscaler", "--stdio")

    def test_each_line_is_answered_before_the_next_is_sent(self) -> None:
        process = subprocess.Popen(
            [*self.COMMAND, "--idle-timeout", "30s"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE
        )
        assert process.stdin
        assert process.stdout
        assert process.stderr
        try:
            for number in range(3):
                process.stdin.write(a_line(float(number)))
                process.stdin.flush()
                assert json.loads(process.stdout.readline())["replicas"] == 1
            process.stdin.close()
            assert process.wait(60) == 0
        finally:
            process.kill()
            process.wait()
            process.stdout.close()
            process.stderr.close()

    def test_limits_that_cross_are_refused(self) -> None:
        done = subprocess.run(
            [*self.COMMAND, "--min-replicas", "3", "--max-replicas", "2"],
            input=b"",
            capture_output=True,
            timeout=60,
            check=False,
        )
        assert done.returncode == 2
        assert b"--min-replicas 3 is above --max-replicas 2" in done.stderr
