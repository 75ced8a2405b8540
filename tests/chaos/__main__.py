"""Breaks a real `forebay up` on purpose, under load, and counts what clients saw: python -B tests/chaos MODE ..."""

import argparse
import asyncio
import os
import sys
import tempfile
import time
from collections.abc import Sequence
from itertools import islice
from pathlib import Path

os.environ["ORT_DISABLE_TELEMETRY"] = "1"

import chaos_report
import chaos_rollouts
import chaos_rounds
import chaos_soak
from chaos_plan import ALL_FAULTS, rounds


def main() -> int:
    given = _arguments()
    if given.folder:
        return _MODES[given.mode](given, given.folder)
    with tempfile.TemporaryDirectory(prefix="fb-") as folder:
        return _MODES[given.mode](given, Path(folder))


def _faults(given: argparse.Namespace, folder: Path) -> int:
    print(f"seed {given.seed}", flush=True)
    began = time.monotonic()
    plan = rounds(given.seed, given.faults)
    chosen = islice(plan, given.rounds) if given.rounds else plan
    outcome = asyncio.run(chaos_rounds.run(folder / "site", chosen, _load(given), _say, began + 60 * given.minutes))
    return _tell(chaos_report.of(outcome, time.monotonic() - began, given.seed), given.markdown)


def _rollouts(given: argparse.Namespace, folder: Path) -> int:
    wanted = [chaos_rollouts.Rollouts(each, room, given.sources) for room, each in ((2, given.two), (1, given.one)) if each]
    rolled = [asyncio.run(chaos_rollouts.run(folder / f"room-for-{each.room}", each, _load(given), _say)) for each in wanted]
    return _tell(chaos_rollouts.report(rolled), given.markdown)


def _soak(given: argparse.Namespace, folder: Path) -> int:
    soaked = asyncio.run(chaos_soak.run(folder / "site", 3600 * given.hours, _load(given), given.every_s, _say))
    chaos_soak.write_csv(soaked, given.csv)
    chaos_soak.plot(soaked, given.plot)
    return _tell(chaos_soak.report(soaked), given.markdown)


_MODES = {"faults": _faults, "rollouts": _rollouts, "soak": _soak}


def _load(given: argparse.Namespace) -> dict[str, float]:
    return {"clients": given.clients, "think_s": given.think_ms / 1000, "seed": given.seed}


def _tell(report: chaos_report.Report, markdown: Path | None) -> int:
    """Show a report. Returns the exit status."""
    print(report.markdown())
    if markdown:
        markdown.write_text(report.markdown() + "\n", encoding="utf-8")
    for line in report.complaints:
        print(line)
    return 1 if report.complaints else 0


def _say(line: str) -> None:
    print(line, flush=True)


def _arguments(line: Sequence[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    modes = parser.add_subparsers(dest="mode", required=True)
    faults = modes.add_parser("faults", help="kill, stop and starve processes at random while specs change")
    faults.add_argument("--minutes", type=float, default=10.0)
    faults.add_argument("--rounds", type=int, default=0, help="so many at most (default: as many as the time allows)")
    faults.add_argument("--faults", nargs="+", choices=ALL_FAULTS, default=ALL_FAULTS, metavar="FAULT")
    rollouts = modes.add_parser(
        "rollouts", help="revisions in a row, on a device with room for two and on one with room for one"
    )
    rollouts.add_argument("--two", type=int, default=100, metavar="N", help="revisions where there is room for two")
    rollouts.add_argument("--one", type=int, default=20, metavar="N", help="revisions where there is room for one")
    rollouts.add_argument(
        "--sources", type=int, default=1000, help="different models, in turn: one seen before is not converted"
    )
    soak = modes.add_parser("soak", help="hours of load, loads, unloads and conversions: does anything grow?")
    soak.add_argument("--hours", type=float, default=2.0)
    soak.add_argument("--every-s", type=float, default=5.0, help="something is changed")
    soak.add_argument("--csv", type=Path, metavar="FILE", default=Path("soak.csv"))
    soak.add_argument("--plot", type=Path, metavar="FILE", default=Path("soak.png"))
    for mode in (faults, rollouts, soak):
        _add_load(mode)
    return parser.parse_args(line)


def _add_load(mode: argparse.ArgumentParser) -> None:
    mode.add_argument("--seed", type=int, default=int(time.time()) % 100_000)
    mode.add_argument("--clients", type=int, default=2, help="of each model and protocol")
    mode.add_argument("--think-ms", type=float, default=50.0, help="between two requests of one client, on average")
    mode.add_argument("--folder", type=Path, help="a new folder for state and logs, which stays (default: one that does not)")
    mode.add_argument("--markdown", type=Path, metavar="FILE", help="write the report there, too")


if __name__ == "__main__":
    sys.exit(main())
