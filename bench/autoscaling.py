"""How well the number of replicas follows the load, against other policies: `python bench/autoscaling.py [--all]`.

Eight loads, each at one ready delay (`--all`: at 5, 30, 120 and 300 s), for Forebay's policy as it ships, Knative's
autoscaler, Kubernetes' HPA on concurrency, as many replicas as the peak needs, and a policy that knows the load. A replica
takes 4 requests at a time, 100 ms each: 40 a second. The price of a cell is its replica-seconds relative to those of the one
that knows the load, times 1 + 10 x the share of requests that waited for more than a second or failed.
"""

import argparse
import math
import multiprocessing
import sys
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from forebay_operator.cli.simulate.course import run
from forebay_operator.cli.simulate.figures import Figures, figures
from forebay_operator.cli.simulate.fluid import STEP_S
from forebay_operator.cli.simulate.rivals import policy_named
from forebay_operator.cli.simulate.scenario import Plan, Scenario, plan_of, spec_with

DELAYS_S = (5, 30, 120, 300)
OURS = "forebay"
RIVALS = ("kpa", "hpa", "static")
KNOWS = "clairvoyant"
LATE_WEIGHT = 10.0
CLEARLY = 1.1
"""A rival is clearly better where our price is more than this times its."""
SERVICE_S = 0.1


def loads(day: str) -> Mapping[str, tuple[str, dict[str, Any]]]:
    """By name: how long, and the shape."""
    third, two_thirds = _part(day, 8 / 24), _part(day, 18 / 24)
    return {
        "daily double peak": (day, {"daily": {"low": 40, "high": 400, "peaks": [10, 15], "width": "80m", "day": day}}),
        "daily step": (day, {"step": {"low": 40, "high": 200, "begin": third, "end": two_thirds, "day": day}}),
        "flash crowd x5": ("90m", {"flashCrowd": {"low": 60, "times": 5, "at": "20m", "halfLife": "5m"}}),
        "flash crowd x20": ("90m", {"flashCrowd": {"low": 20, "times": 20, "at": "20m", "halfLife": "5m"}}),
        "on/off, 10 min": ("2h", {"onOff": {"high": 200, "on": "10m", "off": "10m"}}),
        "slow ramp": ("150m", {"ramp": {"begin": 10, "end": 400, "over": "2h"}}),
        "sparse": ("6h", {"sparse": {"every": "12m"}}),
        "boundary": ("2h", {"boundary": {"perSecond": 120, "spread": 0.1, "wanders": "1m"}}),
    }


def _part(day: str, share: float) -> str:
    hours = int(day.removesuffix("h"))
    return f"{round(hours * 3600 * share)}s"


@dataclass(frozen=True, slots=True)
class Cell:
    load: str
    delay_s: int
    policy: str
    day: str
    seed: int


def plan(cell: Cell) -> Plan:
    duration, shape = loads(cell.day)[cell.load]
    content = {
        "autoscaling": {"minReplicas": 0, "maxReplicas": 100},
        "devices": 100,
        "readyDelay": f"{cell.delay_s}s",
        "service": {"base": f"{SERVICE_S * 1000:.0f}ms", "instances": 4},
        "arrivals": shape,
        "duration": duration,
    }
    scenario = Scenario.from_object(content)
    assert scenario.autoscaling is not None
    seconds = _seconds(duration)
    arrivals = scenario.arrivals.per_step(seconds, STEP_S, np.random.default_rng(cell.seed))
    ready = plan_of(scenario, cell.load, arrivals, spec_with(scenario.autoscaling))
    # At least one is there at the beginning: nobody pays for a first start that is no answer to the load.
    return replace(ready, site=replace(ready.site, initial=max(1, ready.site.initial)))


def _seconds(duration: str) -> float:
    return float(duration[:-1]) * {"h": 3600, "m": 60}[duration[-1]]


def measured(cell: Cell) -> tuple[Cell, Figures]:
    ready = plan(cell)
    policy = policy_named(cell.policy, ready)
    return cell, figures(run(ready.site, ready.arrivals.tolist(), policy))


def price(found: Figures, known: Figures) -> float:
    return found.replica_hours / known.replica_hours * (1.0 + LATE_WEIGHT * found.late)


def geometric_mean(values: Iterable[float]) -> float:
    logs = [math.log(value) for value in values]
    return math.exp(sum(logs) / len(logs))


Results = dict[tuple[str, int], dict[str, Figures]]


def report(results: Results) -> None:
    prices: dict[str, list[float]] = defaultdict(list)
    worse: list[str] = []
    print("| load | ready delay | policy | waited > 1 s or failed | replica-hours | changes | in one hour | price |")
    print("|---|---|---|---|---|---|---|---|")
    for (load, delay), found in results.items():
        cell_prices = {name: price(each, found[KNOWS]) for name, each in found.items()}
        for name, each in found.items():
            prices[name].append(cell_prices[name])
            print(
                f"| {load} | {delay} s | {name} | {each.late:.2%} | {each.replica_hours:.1f} | {each.changes} "
                f"| {each.most_changes_an_hour} | {cell_prices[name]:.2f} |"
            )
        best = min(rivals_in(found), key=lambda name: cell_prices[name])
        if cell_prices[OURS] > CLEARLY * cell_prices[best]:
            worse.append(f"{load} at {delay} s ({best}: {cell_prices[best]:.2f}, ours {cell_prices[OURS]:.2f})")
    summary(prices, worse, results)


def rivals_in(names: Iterable[str]) -> list[str]:
    return [name for name in names if name not in (OURS, KNOWS)]


def summary(prices: Mapping[str, Sequence[float]], worse: Sequence[str], results: Results) -> None:
    means = {name: geometric_mean(values) for name, values in prices.items()}
    print("\nGeometric mean of the price:", ", ".join(f"{name} {mean:.2f}" for name, mean in means.items()))
    best = min(rivals_in(means), key=lambda name: means[name])
    print(f"Ours is {means[OURS] / means[best]:.2f} of that of the best rival ({best}).")
    print(f"A rival is clearly better in {len(worse)} of {len(results)} cells: {'; '.join(worse) or 'none'}.")
    flapping = max((found[OURS].most_changes_an_hour for (load, _), found in results.items() if load == "boundary"), default=0)
    print(f"Changes in the worst hour of noise around a boundary: {flapping}.")


def main() -> int:
    parser = argparse.ArgumentParser(description="How well the number of replicas follows the load.")
    parser.add_argument("--all", action="store_true", help="all ready delays (default: 30 s)")
    parser.add_argument("--day", default="4h", metavar="Nh", help="how long a day is (default: 4h; the real thing: 24h)")
    parser.add_argument("--load", action="append", choices=list(loads("24h")), help="only this one")
    parser.add_argument("--delay", type=int, action="append", help="only this ready delay, in seconds")
    parser.add_argument("--policy", action="append", default=[], help="only these, besides ours and the one that knows")
    parser.add_argument("--jobs", type=int, default=1, help="runs at a time (default: 1)")
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    delays = options.delay or (DELAYS_S if options.all else (30,))
    policies = (OURS, *(options.policy or RIVALS), KNOWS)
    names = options.load or list(loads(options.day))
    cells = [Cell(load, delay, name, options.day, options.seed) for load in names for delay in delays for name in policies]
    results: Results = defaultdict(dict)
    with multiprocessing.Pool(options.jobs) as pool:
        for number, (cell, found) in enumerate(pool.imap(measured, cells), start=1):
            results[cell.load, cell.delay_s][cell.policy] = found
            print(f"\r{number} of {len(cells)}", end="", file=sys.stderr, flush=True)
    print(file=sys.stderr)
    report(results)
    return 0


if __name__ == "__main__":
    sys.exit(main())
