"""The command line of a server."""

import pytest

from forebay_runtime import settings

REPOSITORY = "--model-repository=/models"


@pytest.mark.parametrize("flag", ["--run-timeout-secs", "--warm-up-timeout-secs"])
@pytest.mark.parametrize("text", ["nan", "inf", "-1", "0", "soon", "1e9"])
def test_a_time_limit_that_limits_nothing_is_refused(flag: str, text: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        settings.parse([REPOSITORY, f"{flag}={text}"])
    assert f"'{text}' is no time limit: expected seconds, more than 0 and 31536000 at most" in capsys.readouterr().err


@pytest.mark.parametrize("text", ["nan", "inf", "-0.5"])
def test_a_time_to_end_that_is_none_is_refused(text: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        settings.parse([REPOSITORY, f"--exit-timeout-secs={text}"])
    assert f"'{text}' is no time: expected seconds, from 0 to 31536000" in capsys.readouterr().err


def test_times_are_read_in_seconds() -> None:
    given = settings.parse([REPOSITORY, "--run-timeout-secs=0.5", "--warm-up-timeout-secs=10", "--exit-timeout-secs=0"])
    assert (given.run_timeout_s, given.warm_up_timeout_s, given.exit_timeout_s) == (0.5, 10.0, 0.0)
