"""`forebay demo`: the command."""

import argparse
import asyncio
import os
import sys
import time
import warnings
from pathlib import Path
from typing import Final

from rich.console import Console

from forebay_operator.cli.demo import acts, plot
from forebay_operator.cli.demo.digits import Digits, prepare
from forebay_operator.cli.demo.load import LoadReport, Traffic
from forebay_operator.cli.demo.screen import screen_for
from forebay_operator.cli.demo.stage import StageError, forebay_up
from forebay_operator.cli.demo.story import Story, percentile
from forebay_operator.cli.demo.trace import traffic_peak
from forebay_operator.cli.demo.verdict import Check, broken, checks
from forebay_operator.cli.naming import Commands

REPLICAS: Final = 3
BATCH: Final = 8
PACE_BASE_MS: Final = 40
PACE_ITEM_MS: Final = 10
DEVICES: Final = f"simulated:{REPLICAS}x16Gi,pace={PACE_BASE_MS}ms+{PACE_ITEM_MS}ms"
ONE_REPLICA_PER_S: Final = 1000 * BATCH / (PACE_BASE_MS + BATCH * PACE_ITEM_MS)


def add(commands: Commands) -> None:
    parser = commands.add_parser(
        "demo", help="convert and serve a model, absorb a traffic peak, go back to zero (a minute or two)"
    )
    parser.add_argument(
        "--folder",
        type=Path,
        default=Path("forebay-demo"),
        metavar="DIR",
        help="what it makes goes here (default: forebay-demo)",
    )
    parser.add_argument(
        "--picture", type=Path, metavar="FILE", help="plot of load, queue and replicas (default: DIR/demo.png)"
    )
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    console = Console(highlight=False)
    started = time.monotonic()
    try:
        held = asyncio.run(_demo(options.folder, options.picture or options.folder / "demo.png", console))
    except (StageError, TimeoutError) as error:
        console.print(f"The demo could not go on: {error}", markup=False, soft_wrap=True)
        return 1
    console.print(f"The demo took {time.monotonic() - started:.0f} s.")
    return 0 if held else 1


async def _demo(folder: Path, picture: Path, console: Console) -> bool:
    _say(console, "1. Train: scikit-learn's handwritten digits, a small network, on one half of the 1797 images.")
    digits = _prepared(folder)
    right = (digits.source_answers == digits.labels).mean()
    _say(console, f"   It names {right:.1%} of the other half right. Its ModelDeployment: {digits.manifest}")
    _say(console, f"2. Serve: forebay up on {REPLICAS} simulated GPUs; convert the model in the sandbox and verify it.")
    async with forebay_up(folder, digits.manifest, DEVICES) as stage:
        details = await acts.converted(stage, lambda event: _say(console, f"   {event}"))
        trace = traffic_peak(ONE_REPLICA_PER_S, REPLICAS)
        _say(
            console,
            f"3. A traffic peak: the other half's images, {trace.peak_per_second:.0f} a second over HTTP and gRPC at once.",
        )
        _say(
            console,
            f"   One replica does {ONE_REPLICA_PER_S:.0f} a second at this pace, and there is none yet: requests will wait.",
        )
        with screen_for(console) as screen:
            traffic, story = await acts.peak(stage, digits, acts.clients_for(stage, details), trace, screen)
    plot.save(story, picture, "forebay demo: from zero, a peak absorbed, back to zero")
    results = checks(digits, traffic.report, story, acts.at_zero(story), REPLICAS)
    _tell(console, traffic, story, results, picture)
    _say_what_next(console, folder)
    return not broken(results)


def _prepared(folder: Path) -> Digits:
    with warnings.catch_warnings():
        # A network that could be trained longer is good enough here.
        warnings.simplefilter("ignore")
        return prepare(folder, BATCH, REPLICAS)


def _tell(console: Console, traffic: Traffic, story: Story, results: list[Check], picture: Path) -> None:
    _say(console, "4. What came of it")
    for check in results:
        _say(console, f"   {'ok ' if check.held else 'NOT'} {check.promise}: {check.seen}")
    for line in _latencies(traffic.report):
        _say(console, f"   {line}")
    for line in plot.terminal_chart(story):
        _say(console, f"   {line}")
    _say(console, f"   The same as a picture: {picture}")
    _say(
        console,
        "   Real: the model, its conversion and sandbox, the gateway (Envoy), every request and answer."
        f" Simulated: the {REPLICAS} GPUs: the CPU computes the answers,"
        f" and each batch takes at least {PACE_BASE_MS} ms + {PACE_ITEM_MS} ms per image.",
    )


def _latencies(report: LoadReport) -> list[str]:
    latencies = report.latencies_s()
    parts = [f"{name} {value * 1000:.0f} ms" for name, share in _SHARES if (value := percentile(latencies, share)) is not None]
    protocols = " and ".join(f"{count} by {name}" for name, count in sorted(report.by_protocol.items()))
    return [f"{report.answered} requests answered ({protocols}); latency {', '.join(parts)}"]


_SHARES: Final = (("p50", 0.5), ("p95", 0.95), ("p99", 0.99), ("longest", 1.0))


def _say_what_next(console: Console, folder: Path) -> None:
    forebay = _forebay()
    state = f"--state {folder / 'state'}"
    _say(console, "Try next, in two terminals:")
    _say(console, f"   {forebay} up {folder / 'digits.yaml'} --devices {DEVICES} {state}")
    _say(console, f"   {forebay} get digits {state}        (with requests to paste)")
    _say(console, f"   {forebay} explain digits {state}")


def _forebay() -> str:
    """How this user calls `forebay`: by its name if that is found, else by the path of the one that runs."""
    beside = Path(sys.executable).with_name("forebay")
    if beside.parent in (Path(folder) for folder in os.environ.get("PATH", "").split(os.pathsep)):
        return "forebay"
    return os.path.relpath(beside)


def _say(console: Console, text: str) -> None:
    console.print(text, markup=False, soft_wrap=True)
