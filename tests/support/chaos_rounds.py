"""Rounds of changes and faults under load, each followed by a wait until everything is well again."""

import asyncio
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from chaos_faults import inject
from chaos_ledger import Fate, Judged, Kill, Ledger, judge, unexplained_refusals
from chaos_load import Load
from chaos_plan import RENEWED, ROLLED, SCALED, STEADY, Change, ChangeKind, Round, Target
from chaos_site import Site, UnsettledError

DEVICES: Final = "simulated:2x1Gi,pace=2ms+1ms"
SETTLE_S: Final = 180.0
PROTOCOLS: Final = ("HTTP", "gRPC")
_SPECS: Final[Mapping[str, Mapping[str, Any]]] = {
    STEADY: {"replicas": 2},
    ROLLED: {"replicas": 1},
    SCALED: {"replicas": 1},
    RENEWED: {"replicas": 1},
}
_LISTENING: Final = frozenset({Target.ENVOY, Target.CONTROLLER})
"""While these are away, connections are refused."""


@dataclass(frozen=True, slots=True)
class Result:
    """What became of one round."""

    round: Round
    settle_s: float
    """From the end of the fault."""
    longest_s: float
    """The longest wait of an answered request meanwhile."""


@dataclass(slots=True)
class Outcome:
    """What became of a run."""

    ledger: Ledger
    results: list[Result] = field(default_factory=list[Result])
    kills: list[Kill] = field(default_factory=list[Kill])
    outages: list[tuple[float, float]] = field(default_factory=list[tuple[float, float]])
    own_ends: list[str] = field(default_factory=list[str])
    """Lines of Forebay about processes that ended and that nobody killed."""
    broken: str = ""
    """Why the run ended early."""

    def judged(self) -> list[Judged]:
        return judge(self.ledger.failures, self.kills, self.ledger.timelines)

    def unexpected(self) -> list[Judged]:
        """The failures that nothing explains, and that nobody need accept."""
        return [each for each in self.judged() if each.fate is Fate.LOST]

    def refused_unexplained(self) -> int:
        return unexplained_refusals(self.ledger.refused, self.outages)


async def run(
    folder: Path, rounds: Iterable[Round], load: Mapping[str, Any], say: Callable[[str], None], until: float = float("inf")
) -> Outcome:
    """Do the rounds, or those that begin before `until` (monotonic clock)."""
    site = Site(folder, DEVICES)
    try:
        await site.start()
        for name, spec in _SPECS.items():
            await site.make(name, spec)
        outcome = Outcome(Ledger({name: model.timeline for name, model in site.models.items()}))
        async with Load(outcome.ledger, site.ports, **load).running(list(site.models)):
            await _all_rounds(site, outcome, rounds, say, until)
        outcome.own_ends = _own_ends(site, outcome)
        return outcome
    finally:
        await site.close()


async def _all_rounds(site: Site, outcome: Outcome, rounds: Iterable[Round], say: Callable[[str], None], until: float) -> None:
    try:
        await settle(site, outcome.ledger)
        for each in rounds:
            if time.monotonic() > until:
                break
            say(_intention(each))
            result = await _round(site, outcome, each)
            outcome.results.append(result)
            say(f"   well again after {result.settle_s:.1f} s, the longest wait was {result.longest_s:.1f} s")
    except UnsettledError as error:
        outcome.broken = str(error)
        say(f"   {error}")


def _intention(each: Round) -> str:
    changes = ", ".join(f"{change.kind} of {change.model}" for change in each.changes) or "no change"
    lasts = f" for {each.fault.lasts_s:g} s" if each.fault.kind in ("stop", "starve") else ""
    return f"{each.number:>3} {changes}; after {each.delay_s:g} s {each.fault.name}{lasts}"


async def _round(site: Site, outcome: Outcome, each: Round) -> Result:
    outcome.ledger.longest_s = 0.0
    for change in each.changes:
        await _change(site, change)
    await asyncio.sleep(each.delay_s)
    began = time.monotonic()
    try:
        if kill := await inject(site, each.fault):
            outcome.kills.append(kill)
        over = time.monotonic()
        settled = await settle(site, outcome.ledger)
    finally:
        # Also where it does not come back: connections are refused for a reason then, too.
        if each.fault.target in _LISTENING:
            outcome.outages.append((began, time.monotonic()))
    return Result(each, settled - over, outcome.ledger.longest_s)


async def settle(site: Site, ledger: Ledger) -> float:
    """Wait until every model serves what was asked for last, over every protocol; when that was."""

    def answered_since(model: str) -> float:
        return min(ledger.last_right.get((model, protocol), 0.0) for protocol in PROTOCOLS)

    return await site.wait_until_settled(SETTLE_S, answered_since)


async def _change(site: Site, change: Change) -> None:
    match change.kind:
        case ChangeKind.REPLICAS:
            await site.scale(change.model, {"replicas": change.number})
        case ChangeKind.BOUNDS:
            await site.scale(change.model, {"autoscaling": {"minReplicas": 1, "maxReplicas": change.number}})
        case ChangeKind.REVISION:
            await site.revise(change.model)
        case ChangeKind.RECREATE:
            await site.recreate(change.model, change.away_s)


def _own_ends(site: Site, outcome: Outcome) -> list[str]:
    """What Forebay said of ends of its processes, less those that were killed here."""
    told = [line for line in site.printed().splitlines() if "another one takes its place" in line]
    killed = sum(kill.target in (Target.SERVER, Target.GATEWAY) for kill in outcome.kills)
    return told if len(told) > killed else []
