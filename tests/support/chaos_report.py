"""The table of a run, and what must not have been."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from statistics import median

from chaos_ledger import Failure, Fate, Judged, Kill
from chaos_rounds import Outcome, Result

_SHOWN = 10


@dataclass(frozen=True, slots=True)
class Report:
    lines: Sequence[str]
    complaints: Sequence[str] = field(default_factory=tuple)
    """Empty: nothing was that must not be."""

    def markdown(self) -> str:
        return "\n".join(self.lines)


def of(outcome: Outcome, lasted_s: float, seed: int) -> Report:
    """The report of rounds of faults."""
    judged = outcome.judged()
    return Report((*_totals(outcome, judged, lasted_s, seed), "", *_by_fault(outcome.results, judged)), complaints(outcome))


def complaints(outcome: Outcome) -> list[str]:
    """What makes a run a failed one."""
    said = [f"LOST: {_story(each.failure, outcome.kills)}" for each in outcome.unexpected()]
    said += [f"WRONG: {text}" for text in outcome.ledger.wrong]
    said = said[:_SHOWN]
    if refused := outcome.refused_unexplained():
        said.append(f"{refused} connections were refused while nothing that listens was away")
    said += [f"ended though nobody killed it, or more often: {line}" for line in outcome.own_ends]
    return [*said, outcome.broken] if outcome.broken else said


def _story(failure: Failure, kills: Sequence[Kill]) -> str:
    """A failure, with its place in time."""
    what = f"{failure.model} over {failure.protocol} after {failure.failed - failure.sent:.2f} s: {failure.text}"
    before = [kill for kill in kills if kill.began <= failure.failed]
    if not before:
        return f"{what} (before any kill)"
    last = before[-1]
    sent, failed, gone = (moment - last.began for moment in (failure.sent, failure.failed, last.gone))
    return f"{what} (sent {sent:.2f} s and failed {failed:.2f} s after {last.fault} began, which took {gone:.2f} s)"


def _totals(outcome: Outcome, judged: Sequence[Judged], lasted_s: float, seed: int) -> list[str]:
    ledger = outcome.ledger
    fates = Counter(each.fate for each in judged)
    rows = [
        ("faults injected", f"{len(outcome.results)} (seed {seed}, {lasted_s / 60:.1f} minutes)"),
        ("requests sent", _both(ledger.sent)),
        ("answered right", _both(ledger.right)),
        *((f"failed: {fate}", str(fates[fate])) for fate in Fate if fate is not Fate.LOST),
        ("**lost**", f"**{fates[Fate.LOST]}**"),
        ("**answered wrong**", f"**{len(ledger.wrong)}**"),
        ("had to wait for a connection", str(len(ledger.refused))),
        ("wait of answered requests", f"median {_ms(ledger.wait_s(0.5))}, p99 {_ms(ledger.wait_s(0.99))}"),
    ]
    return ["| what | count |", "|---|---|", *(f"| {name} | {value} |" for name, value in rows)]


def _by_fault(results: Iterable[Result], judged: Iterable[Judged]) -> list[str]:
    by_name: defaultdict[str, list[Result]] = defaultdict(list)
    for result in results:
        by_name[result.round.fault.name].append(result)
    failed = Counter((each.fault, each.fate) for each in judged)
    head = ["| fault | times | failed in flight | failed just after | well again after (median, longest) | longest wait |"]
    return [*head, "|---|---|---|---|---|---|", *(_fault_row(name, by_name[name], failed) for name in sorted(by_name))]


def _fault_row(name: str, results: Sequence[Result], failed: Counter[tuple[str, Fate]]) -> str:
    settle = [result.settle_s for result in results]
    longest = max(result.longest_s for result in results)
    counts = f"{failed[name, Fate.IN_FLIGHT]} | {failed[name, Fate.LATE]}"
    return f"| {name} | {len(results)} | {counts} | {median(settle):.1f} s, {max(settle):.1f} s | {longest:.1f} s |"


def _both(counts: Counter[str]) -> str:
    return f"{counts.total()} ({', '.join(f'{protocol} {count}' for protocol, count in sorted(counts.items()))})"


def _ms(seconds: float) -> str:
    return f"{1000 * seconds:.0f} ms"
