"""How long a conversion takes, in its parts, and what the sandbox adds: `python bench/conversion.py [--rounds 7]`.

The source is a classifier of scikit-learn's digits. Sealed and open conversions take turns, so that both meet the same
machine; medians. The parts are told by the conversion's own progress.
"""

import argparse
import statistics
import sys
import tempfile
import time
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "tests" / "support"))

from convert_commands import an_order
from convert_sources import digits_file
from forebay_convert.conversion import convert
from forebay_convert.publishing import StoreDestination
from forebay_convert.sandbox.levels import available_level
from forebay_schema.manifest import SandboxLevel

PARTS = {
    "fetched": "fetch",
    "loaded": "process A: start, import, load",
    "recorded": "process A: record what it answers",
    "converted": "process A: convert",
    "measuring": "process B: start, check",
    "comparing": "process B: measure memory",
    "published": "process B: compare; publish",
}


@dataclass
class Clock:
    """Notes when each part ended."""

    started: float = field(default_factory=time.perf_counter)
    ended: dict[str, float] = field(default_factory=dict[str, float])

    def __call__(self, message: str, **fields: object) -> None:
        part = str(fields.get("phase", message))
        if part in PARTS:
            self.ended[part] = time.perf_counter() - self.started

    def parts(self) -> dict[str, float]:
        ends = [self.ended[part] for part in PARTS]
        return {part: end - before for part, end, before in zip(PARTS, ends, [0.0, *ends], strict=False)}


def conversion(source: Path, level: SandboxLevel) -> Clock:
    with tempfile.TemporaryDirectory() as folder:
        order = an_order(Path(folder, "store"), source, trust_source=True)
        clock = Clock()
        result = convert(order, lambda: StoreDestination(order.store, "default"), Path(folder), clock, lambda: level)
        assert result.failure is None, result.failure
    return clock


def milliseconds(values: Iterable[float]) -> str:
    return f"{1e3 * statistics.median(values):6.0f} ms"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=7)
    rounds = parser.parse_args().rounds
    level = available_level()
    clocks: dict[SandboxLevel, list[Clock]] = {level: [], "none": []}
    with tempfile.TemporaryDirectory() as folder:
        source = digits_file(Path(folder))
        conversion(source, level)
        for _ in range(rounds):
            for one, done in clocks.items():
                done.append(conversion(source, one))
    print(f"conversion of a digits classifier, {rounds} rounds, medians: sandbox {level}, and none")
    for part, name in PARTS.items():
        columns = [milliseconds(clock.parts()[part] for clock in clocks[one]) for one in clocks]
        print(f"  {name:36}{'  '.join(columns)}")
    totals = [milliseconds(clock.ended["published"] for clock in clocks[one]) for one in clocks]
    print(f"  {'total':36}{'  '.join(totals)}")
    sealed, opened = (statistics.median(clock.ended["published"] for clock in clocks[one]) for one in clocks)
    fastest = [min(clock.ended["published"] for clock in clocks[one]) for one in clocks]
    print(f"  sealed / open: {sealed / opened:.3f} of the medians, {fastest[0] / fastest[1]:.3f} of the fastest")


if __name__ == "__main__":
    main()
