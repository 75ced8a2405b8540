"""How soon another operator acts when one ends: `KUBEBUILDER_ASSETS=… python bench/operator_takeover.py [TIMES]`.

Two operators on a real API server. The one that leads is ended, by SIGKILL and by SIGTERM in turn; from the signal on it is
timed when the other one holds the Lease, and when it has taken its first step. Then the ended one is started again.
"""

import contextlib
import os
import signal
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import yaml

sys.path.insert(0, str(Path(__file__).parents[1] / "tests" / "support"))

import cluster_programs
from cluster_api import eventually
from cluster_control_plane import ControlPlane
from cluster_operator import OperatorProcess
from cluster_site import Site, site

ROOT: Final = Path(__file__).parents[1]
TIMES: Final = 3
MARKS: Final = {"SIGKILL": 12.0, "SIGTERM": 1.0}
_LOOK_S: Final = 0.02
_PATIENCE_S: Final = 120.0


@dataclass
class Pair:
    """Two operators of one namespace."""

    here: Site
    operators: dict[str, OperatorProcess] = field(default_factory=dict[str, OperatorProcess])

    def start(self) -> None:
        for name in ("operator-1", "operator-2"):
            self.operators[name] = self.here.make_operator(name)
            self.operators[name].wait_until_it_says("everything was seen")
        eventually(self.leader, "no operator leads")

    def leader(self) -> str:
        lease = self.here.api.find(self.here.path("leases", f"forebay-{self.here.namespace}")) or {}
        return str(lease.get("spec", {}).get("holderIdentity") or "")

    def end(self, number: signal.Signals) -> tuple[float, float]:
        """End the one that leads. Seconds until the other holds the Lease, and until it has taken its first step."""
        before = self.leader()
        (after,) = self.operators.keys() - {before}
        began = time.monotonic()
        self.operators[before].signal(number)
        held = _seconds(lambda: self.leader() == after, began)
        acted = _seconds(lambda: self.operators[after].said("the first step is taken"), began)
        self._again(before, after)
        return held, acted

    def _again(self, ended: str, leader: str) -> None:
        """Both begin anew what they have said, so that the next taking over is told from this one."""
        self.operators[ended].kill()
        self.operators[ended].start()
        self.operators[ended].wait_until_it_says("everything was seen")
        assert self.leader() == leader


def _seconds(is_so: Callable[[], bool], began: float) -> float:
    while not is_so():
        if time.monotonic() - began > _PATIENCE_S:
            raise SystemExit(f"no other operator took over within {_PATIENCE_S:g} s")
        time.sleep(_LOOK_S)
    return time.monotonic() - began


def measure(here: Site, times: int) -> None:
    pair = Pair(here)
    pair.start()
    for name, mark in MARKS.items():
        pairs = [pair.end(signal.Signals[name]) for _ in range(times)]
        held, acted = zip(*pairs, strict=True)
        row = ", ".join(
            f"{said} {_range(seconds)}" for said, seconds in (("Lease taken after", held), ("first step after", acted))
        )
        print(f"{name}: {row} (mark: {mark:g} s), {times} times, load {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores")


def _range(seconds: tuple[float, ...]) -> str:
    return f"{statistics.median(seconds):.2f} s ({min(seconds):.2f} to {max(seconds):.2f})"


def main(times: int = TIMES) -> None:
    programs = cluster_programs.folder()
    if programs is None:
        print(f"no control plane, so nothing is measured: {cluster_programs.REMEDY}")
        return
    with tempfile.TemporaryDirectory() as folder, contextlib.ExitStack() as exits:
        plane = ControlPlane(programs, Path(folder) / "plane")
        exits.callback(plane.stop)
        plane.start()
        definition = ROOT / "crds" / "forebay.dev_modeldeployments.yaml"
        path = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
        plane.api.create(path, yaml.safe_load(definition.read_text(encoding="utf-8")))
        measure(exits.enter_context(site(plane.access, "takeover", Path(folder))), times)


if __name__ == "__main__":
    main(*map(int, sys.argv[1:2]))
