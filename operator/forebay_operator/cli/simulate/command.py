"""`forebay simulate`: the command."""

import argparse
import contextlib
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Final

from forebay_operator.cli.connection import CommandError
from forebay_operator.cli.naming import Commands

if TYPE_CHECKING:
    from forebay_operator.cli.simulate.course import Course
    from forebay_operator.cli.simulate.figures import Figures
    from forebay_operator.cli.simulate.policies import Policy
    from forebay_operator.cli.simulate.scenario import Plan

_COMMAND: Final = "command:"
_POLICIES: Final = ("forebay", "static", "kpa", "hpa", "clairvoyant")
_HEADINGS: Final = ("SCENARIO", "POLICY", "REQUESTS", "P50", "P99", "LATE", "FAILED", "REPLICA-HOURS", "CHANGES", "PEAK-NEEDS")


def add(commands: Commands) -> None:
    parser = commands.add_parser("simulate", help="see how a model would be scaled under a load, and what that would cost")
    parser.add_argument("scenario", type=Path, metavar="SCENARIO.yaml", help="what docs/simulate.md describes")
    parser.add_argument(
        "--policy",
        action="append",
        metavar="POLICY",
        help="forebay (the default), static (what the peak needs, always), kpa (Knative's autoscaler), hpa (Kubernetes' on"
        " concurrency), clairvoyant (knows the load), or command:PROGRAM, which answers as `forebay autoscaler --stdio` does;"
        " may be given more than once",
    )
    parser.add_argument(
        "--compare", type=Path, nargs="+", default=[], metavar="FILE", help="further scenarios, in the same table and picture"
    )
    parser.add_argument(
        "--picture", type=Path, metavar="FILE", help="plot of load, queue, replicas and waits (default: SCENARIO.png, here)"
    )
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    # Imported here: numpy is no part of an operator's image, and takes a moment.
    from forebay_operator.cli.simulate.policies import PolicyError  # noqa: PLC0415
    from forebay_operator.cli.simulate.scenario import ScenarioError, read  # noqa: PLC0415

    started = time.monotonic()
    try:
        plans = [read(file) for file in (options.scenario, *options.compare)]
        runs = [_simulated(plan, name) for plan in plans for name in options.policy or ["forebay"]]
    except (ScenarioError, PolicyError) as error:
        raise CommandError(str(error)) from None
    _show(plans, runs)
    picture = options.picture or Path(f"{options.scenario.stem}.png")
    _draw(runs, picture, options.scenario.stem)
    hours = sum(plan.hours for plan, _ in runs)
    sys.stdout.write(f"{hours:.1f} hours in {time.monotonic() - started:.1f} s; picture: {picture}\n")
    return 0


def _simulated(plan: "Plan", name: str) -> "tuple[Plan, Course]":
    from forebay_operator.cli.simulate.course import run as let_run  # noqa: PLC0415

    with contextlib.closing(_policy(name, plan)) as policy:
        return plan, let_run(plan.site, plan.arrivals.tolist(), policy)


def _policy(name: str, plan: "Plan") -> "Policy":
    from forebay_operator.cli.simulate.policies import CommandPolicy  # noqa: PLC0415
    from forebay_operator.cli.simulate.rivals import policy_named  # noqa: PLC0415

    if name.startswith(_COMMAND):
        return CommandPolicy(name.removeprefix(_COMMAND), name)
    if name not in _POLICIES:
        raise CommandError(f"there is no policy {name!r}: write {', '.join(_POLICIES)} or command:PROGRAM", 2)
    return policy_named(name, plan)


def _show(plans: "Sequence[Plan]", runs: "Sequence[tuple[Plan, Course]]") -> None:
    from rich.console import Console  # noqa: PLC0415

    from forebay_operator.cli.simulate.figures import figures, peak_need  # noqa: PLC0415
    from forebay_operator.cli.tables import Rows  # noqa: PLC0415

    needs = {id(plan): peak_need(plan.site, plan.arrivals) for plan in plans}
    rows = [_row(plan, figures(course), needs[id(plan)]) for plan, course in runs]
    Rows(_HEADINGS, rows).show(Console(soft_wrap=True))


def _row(plan: "Plan", shown: "Figures", need: int) -> list[str]:
    return [
        plan.name,
        shown.policy,
        f"{shown.requests:,.0f}",
        seconds_text(shown.p50_s),
        seconds_text(shown.p99_s),
        f"{shown.late:.3%}",
        f"{shown.failed:.3%}",
        f"{shown.replica_hours:,.1f}",
        str(shown.changes),
        str(need),
    ]


def seconds_text(value: float) -> str:
    """`0`, `12ms`, `3.4s`, `95s`."""
    if value < 0.0005:  # noqa: PLR2004 - half of what is shown
        return "0"
    if value < 1.0:
        return f"{value * 1000:.0f}ms"
    return f"{value:.1f}s" if value < 10.0 else f"{value:.0f}s"  # noqa: PLR2004 - two digits say enough


def _draw(runs: "Sequence[tuple[Plan, Course]]", picture: Path, title: str) -> None:
    from forebay_operator.cli.simulate import plot  # noqa: PLC0415

    several = len({plan.name for plan, _ in runs}) > 1
    label: Callable[[Plan, Course], str] = lambda plan, course: f"{plan.name}, {course.policy}" if several else course.policy  # noqa: E731
    try:
        plot.save([(label(plan, course), course) for plan, course in runs], picture, f"forebay simulate: {title}")
    except (OSError, ValueError) as error:
        raise CommandError(f"the picture {picture} cannot be written ({error}): name another file with --picture") from None
