"""`forebay top`: load, replicas and devices, live."""

import argparse
import itertools
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

from forebay_operator.cli.connecting import connect
from forebay_operator.cli.naming import Commands, add_connection, add_namespace
from forebay_operator.domain.wording import bytes_text


@dataclass(frozen=True, slots=True)
class Rates:
    """What a model did between two looks; None: nobody here knows."""

    arrivals_per_s: float | None
    answers_per_s: float | None


def add(commands: Commands) -> None:
    parser = commands.add_parser("top", help="load, replicas and devices, live (plain lines without a terminal)")
    parser.add_argument("--once", action="store_true", help="look once and end")
    parser.add_argument("-A", "--all-namespaces", action="store_true", help="those of all namespaces")
    add_namespace(parser)
    add_connection(parser)
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    connection = connect(options)
    pictures = connection.pictures(connection.scope(options.namespace, everywhere=options.all_namespaces))
    looks = _looks(pictures, once=options.once)
    if sys.stdout.isatty() and not options.once:
        _live(looks)
    else:
        for before, now in looks:
            print("\n".join(lines(before, now)), flush=True)  # noqa: T201 - what was asked for
    return 0


def rates(before: dict[str, Any] | None, now: dict[str, Any], model: dict[str, Any]) -> Rates:
    """Rates of a model since the look before; nothing without one."""
    if model["arrivals"] is None:
        return Rates(None, None)
    earlier = _same(before, model) if before else None
    seconds = now["time"] - before["time"] if before else 0.0
    if earlier is None or earlier["arrivals"] is None or seconds <= 0:
        return Rates(0.0, 0.0)
    # Completed requests are counted by servers, and fall when one of them goes.
    answers = max(0, model["completed"] - earlier["completed"])
    # Counted by gateways, in a cluster several of them, and one of them may go as well.
    arrivals = max(0, model["arrivals"] - earlier["arrivals"])
    return Rates(arrivals / seconds, answers / seconds)


def model_rows(before: dict[str, Any] | None, now: dict[str, Any]) -> list[list[str]]:
    """One row a model: name, replicas, queue, load, last decision."""
    return [_model_row(model, rates(before, now, model)) for model in now["models"]]


def server_rows(now: dict[str, Any]) -> list[list[str]]:
    """One row a server: device, memory, what it holds."""
    return [_server_row(server) for server in now["servers"]]


def lines(before: dict[str, Any] | None, now: dict[str, Any]) -> list[str]:
    """Plain lines, one a model and one a server, each whole by itself; one that says so where there are none."""
    clock = time.strftime("%H:%M:%S", time.localtime(now["time"]))
    if not now["models"] and not now["servers"]:
        return [f"{clock} There is no ModelDeployment, and no server."]
    models = [f"{clock} model {_pairs(_MODEL_HEADINGS, row)}" for row in model_rows(before, now)]
    return models + [f"{clock} server {_pairs(_SERVER_HEADINGS, row)}" for row in server_rows(now)]


_MODEL_HEADINGS: Final = ("MODEL", "READY", "WANTED", "HELD", "WAITING", "RUNNING", "IN/S", "OUT/S", "LAST DECISION")
_SERVER_HEADINGS: Final = ("SERVER", "DEVICE", "PHASE", "MEMORY", "HOLDS")


def _model_row(model: dict[str, Any], done: Rates) -> list[str]:
    loading = f" (+{model['loading']})" if model["loading"] else ""
    return [
        _name(model),
        f"{model['ready']}{loading}",
        *(_figure(model[figure]) for figure in ("wanted", "held", "waiting", "executing")),
        _figure(done.arrivals_per_s),
        _figure(done.answers_per_s),
        model["decision"] or model["summary"],
    ]


def _server_row(server: dict[str, Any]) -> list[str]:
    simulated = " (simulated)" if server["kind"] == "simulated" and server["device"] != "simulated" else ""
    held = [_held(held) for held in server["holds"]]
    return [
        server["name"],
        f"{server['device']}{simulated}",
        server["phase"],
        f"{bytes_text(server['usedBytes'])} of {bytes_text(server['memoryBytes'])}",
        server["message"] or ", ".join(held) or "nothing",
    ]


def _figure(value: float | None) -> str:
    return "-" if value is None else f"{value:.0f}"


def _held(held: dict[str, Any]) -> str:
    state = "" if held["phase"] == "ready" else f" {held['phase']}"
    return f"{held['model']}:{held['version']}{state}"


def _name(model: dict[str, Any]) -> str:
    return model["name"] if model["namespace"] == "default" else f"{model['namespace']}/{model['name']}"


def _same(look: dict[str, Any], model: dict[str, Any]) -> dict[str, Any] | None:
    return next((other for other in look["models"] if _name(other) == _name(model)), None)


def _pairs(headings: tuple[str, ...], row: list[str]) -> str:
    first, *rest = row
    named = (f"{heading.lower()}={cell}" for heading, cell in zip(headings[1:], rest, strict=True))
    return f"{first} {' '.join(named)}"


def _looks(pictures: Iterator[dict[str, Any]], *, once: bool) -> Iterator[tuple[dict[str, Any] | None, dict[str, Any]]]:
    """Each picture with the one before."""
    before: dict[str, Any] | None = None
    for now in itertools.islice(pictures, 1) if once else pictures:
        yield before, now
        before = now


def _live(looks: Iterator[tuple[dict[str, Any] | None, dict[str, Any]]]) -> None:
    from rich.console import Group  # noqa: PLC0415 - only where a terminal is
    from rich.live import Live  # noqa: PLC0415

    from forebay_operator.cli.tables import Rows  # noqa: PLC0415

    with Live(auto_refresh=False) as live:
        for before, now in looks:
            models = Rows(_MODEL_HEADINGS, model_rows(before, now)).rich()
            servers = Rows(_SERVER_HEADINGS, server_rows(now)).rich()
            live.update(Group(models, "", servers), refresh=True)
