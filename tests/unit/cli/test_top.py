from typing import Any

from forebay_operator.cli.top import lines, rates


def a_look(time: float, arrivals: int = 0, completed: int = 0) -> dict[str, Any]:
    model = {
        "namespace": "default",
        "name": "digits",
        "revision": 1,
        "wanted": 2,
        "ready": 1,
        "loading": 1,
        "held": 3,
        "inFlight": 2,
        "arrivals": arrivals,
        "waiting": 5,
        "executing": 1,
        "completed": completed,
        "busySeconds": 0.0,
        "summary": "Ready.",
        "decision": "5 waited",
    }
    server = {
        "name": "simulated-0-ab",
        "namespace": "default",
        "device": "simulated",
        "kind": "simulated",
        "phase": "ready",
        "memoryBytes": 1 << 30,
        "usedBytes": 1 << 20,
        "message": "",
        "holds": [{"model": "digits", "version": 1, "phase": "loading", "reason": ""}],
    }
    return {"time": time, "gateway": True, "models": [model], "servers": [server]}


def test_rates_are_taken_between_two_looks() -> None:
    before, now = a_look(10.0, arrivals=100, completed=90), a_look(12.0, arrivals=140, completed=120)

    done = rates(before, now, now["models"][0])

    assert (done.arrivals_per_s, done.answers_per_s) == (20.0, 15.0)


def test_a_first_look_has_no_rates_and_a_server_that_went_makes_none_negative() -> None:
    first, less = a_look(10.0, completed=50), a_look(11.0, completed=10)

    assert rates(None, first, first["models"][0]).answers_per_s == 0
    assert rates(first, less, less["models"][0]).answers_per_s == 0


def test_a_load_that_becomes_known_has_no_rate_yet() -> None:
    unknown, known = a_look(10.0), a_look(11.0, arrivals=10)
    unknown["models"][0] |= {"arrivals": None, "completed": None}

    assert rates(unknown, known, known["models"][0]).arrivals_per_s == 0


def test_where_there_is_nothing_a_line_says_so() -> None:
    nothing = {**a_look(10.0), "models": [], "servers": []}

    (line,) = lines(None, nothing)

    assert line.endswith(" There is no ModelDeployment, and no server.")


def test_plain_lines_say_all_of_a_model_and_of_a_server() -> None:
    model, server = lines(None, a_look(10.0))

    assert "model digits ready=1 (+1) wanted=2 held=3 waiting=5 running=1" in model
    assert "server simulated-0-ab device=simulated phase=ready memory=1 MiB of 1.0 GiB holds=digits:1 loading" in server
