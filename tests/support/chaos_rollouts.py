"""Revisions of one model, one after the other, under load."""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any, Final

from chaos_ledger import Ledger
from chaos_load import Load
from chaos_plan import ROLLED
from chaos_report import Report, complaints
from chaos_rounds import Outcome, settle
from chaos_site import Site, UnsettledError

# A replica of the tests' models takes 2 MiB of a simulated device.
_DEVICES: Final = {1: "simulated:1x3Mi,pace=2ms+1ms", 2: "simulated:1x5Mi,pace=2ms+1ms"}
ROOMS: Final = tuple(_DEVICES)


@dataclass(frozen=True, slots=True)
class Rollouts:
    """So many revisions, on one device with room for one or two replicas."""

    revisions: int
    room: int
    sources: int
    """Different ones, in turn: what was converted before is not converted again."""


@dataclass(frozen=True, slots=True)
class Rolled:
    """What became of them."""

    asked: Rollouts
    outcome: Outcome
    took_s: Sequence[float]
    """Each revision, from asking for it to Ready and answering over both protocols."""


async def run(folder: Path, asked: Rollouts, load: Mapping[str, Any], say: Callable[[str], None]) -> Rolled:
    """Ask for each revision when the one before serves, while clients ask."""
    site, took_s = Site(folder, _DEVICES[asked.room]), list[float]()
    try:
        await site.start()
        await site.make(ROLLED, {"replicas": 1})
        outcome = Outcome(Ledger({ROLLED: site.models[ROLLED].timeline}))
        async with Load(outcome.ledger, site.ports, **load).running([ROLLED]):
            try:
                await settle(site, outcome.ledger)
                for number in range(asked.revisions):
                    took_s.append(await _one(site, outcome.ledger, asked.sources))
                    say(f"room for {asked.room}: revision {number + 2} serves after {took_s[-1]:.1f} s")
            except UnsettledError as error:
                outcome.broken = str(error)
        return Rolled(asked, outcome, took_s)
    finally:
        await site.close()


async def _one(site: Site, ledger: Ledger, sources: int) -> float:
    began = time.monotonic()
    await site.revise(ROLLED, sources)
    return await settle(site, ledger) - began


def report(rolled: Sequence[Rolled]) -> Report:
    """One row for each device."""
    head = ("one device with room for", "revisions", "requests", "answered right", "failed", "answered wrong")
    names = (*head, "a revision serves after (median, longest)", "wait (median, p99, longest)")
    lines = [f"| {' | '.join(names)} |", f"|{'---|' * len(names)}", *(_row(each) for each in rolled)]
    return Report(lines, [line for each in rolled for line in complaints(each.outcome)])


def _row(rolled: Rolled) -> str:
    ledger, took_s = rolled.outcome.ledger, rolled.took_s or [0.0]
    waits = ", ".join(f"{wait:.2f} s" for wait in (ledger.wait_s(0.5), ledger.wait_s(0.99), ledger.longest_s))
    cells = (
        f"{rolled.asked.room}",
        f"{len(rolled.took_s)}",
        f"{ledger.sent.total()}",
        f"{ledger.right.total()}",
        f"{len(rolled.outcome.unexpected())}",
        f"{len(ledger.wrong)}",
        f"{median(took_s):.1f} s, {max(took_s):.1f} s",
        waits,
    )
    return f"| {' | '.join(cells)} |"
