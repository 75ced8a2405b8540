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
import chaos_rounds
from chaos_plan import ALL_FAULTS, rounds


def main() -> int:
    given = _arguments()
    with tempfile.TemporaryDirectory(prefix="fb-") as folder:
        run = {"faults": _faults}[given.mode]
        return run(given, Path(folder))


def _faults(given: argparse.Namespace, folder: Path) -> int:
    print(f"seed {given.seed}", flush=True)
    began = time.monotonic()
    plan = rounds(given.seed, given.faults)
    chosen = islice(plan, given.rounds) if given.rounds else plan
    load = {"clients": given.clients, "think_s": given.think_ms / 1000, "seed": given.seed}
    outcome = asyncio.run(chaos_rounds.run(folder / "site", chosen, load, _say, began + 60 * given.minutes))
    report = chaos_report.of(outcome, time.monotonic() - began, given.seed)
    print(report.markdown())
    if given.markdown:
        given.markdown.write_text(report.markdown() + "\n", encoding="utf-8")
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
    faults.add_argument("--seed", type=int, default=int(time.time()) % 100_000)
    faults.add_argument("--faults", nargs="+", choices=ALL_FAULTS, default=ALL_FAULTS, metavar="FAULT")
    faults.add_argument("--clients", type=int, default=2, help="of each model and protocol")
    faults.add_argument("--think-ms", type=float, default=50.0, help="between two requests of one client, on average")
    faults.add_argument("--markdown", type=Path, metavar="FILE", help="write the report there, too")
    return parser.parse_args(line)


if __name__ == "__main__":
    sys.exit(main())
