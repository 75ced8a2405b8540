"""The proof on a node: installs the chart into an empty cluster, serves, breaks things, and takes all of it away again.

    python tests/node --kubeconfig FILE [--values FILE] [--hook NAME=COMMAND …] [--report FILE] [STEP …]

Steps run in the order below; those whose hook nobody gave are left out, and said so. A step that fails is told, and the next
one goes on. The cluster has a node with two GPUs, real or only advertised, and Forebay's images.
"""

import argparse
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import node_faults as faults
import node_steps as steps
from node_kubectl import CommandError, Kubectl, NotYetError
from node_site import ROOT, Site
from node_steps import FailedError, Step


@dataclass(frozen=True, slots=True)
class Entry:
    """A step by its name, and the hooks without which it cannot be."""

    name: str
    run: Step
    hooks: tuple[str, ...] = ()


STEPS: Final = (
    Entry("install", steps.install),
    Entry("predictions", steps.predictions),
    Entry("scaling", steps.scaling),
    Entry("one-gpu-too-few", steps.one_gpu_too_few),
    Entry("sharing", steps.sharing),
    Entry("killed-container", faults.killed_container, ("kill-container",)),
    Entry("killed-server", faults.killed_server),
    Entry("killed-operator", faults.killed_operator),
    Entry("killed-gateway", faults.killed_gateway),
    Entry("kubelet-away", faults.kubelet_away, ("stop-kubelet", "start-kubelet")),
    Entry("api-server-away", faults.api_server_away, ("stop-api-server", "start-api-server")),
    Entry("unhealthy-gpu", faults.unhealthy_gpu, ("gpu-unhealthy", "gpu-healthy")),
    Entry("hostile-pickle", faults.hostile_pickle),
    Entry("upgrade", steps.upgrade),
    Entry("delete", faults.delete),
    Entry("uninstall", faults.uninstall),
)


class Report:
    """What was seen, on the screen and at the end in a file."""

    def __init__(self) -> None:
        self._lines: list[str] = []
        self.failed = 0

    def say(self, line: str) -> None:
        print(line, flush=True)
        self._lines.append(line)

    def fail(self, line: str) -> None:
        self.failed += 1
        self.say(line)

    def write(self, path: Path) -> None:
        path.write_text("\n".join(self._lines) + "\n", encoding="utf-8")


def main() -> int:
    given = _arguments()
    hooks = dict(each.split("=", 1) for each in given.hook)
    site = Site(Kubectl(given.kubeconfig), tuple(given.values), given.client_image, hooks)
    report = Report()
    for entry in STEPS:
        if not given.steps or entry.name in given.steps:
            _run(entry, site, report)
    report.say(f"\n{report.failed} steps failed" if report.failed else "\nEvery step saw what it was to see")
    if given.report:
        report.write(given.report)
    return 1 if report.failed else 0


def _run(entry: Entry, site: Site, report: Report) -> None:
    report.say(f"\n## {entry.name}\n\n{(entry.run.__doc__ or '').strip()}\n")
    missing = [hook for hook in entry.hooks if hook not in site.hooks]
    if missing:
        report.say(f"- Left out: needs --hook {' --hook '.join(f'{hook}=COMMAND' for hook in missing)}")
        return
    began = time.monotonic()
    try:
        for sentence in entry.run(site):
            report.say(f"- {sentence}")
    except (FailedError, CommandError, NotYetError) as error:
        report.fail(f"- FAILED: {error}")
    report.say(f"- ({time.monotonic() - began:.0f} s)")


def _arguments(line: Sequence[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "steps", nargs="*", metavar="STEP", choices=[[], *(entry.name for entry in STEPS)], help="default: all"
    )
    parser.add_argument("--kubeconfig", type=Path, required=True, help="of a cluster in which this may do everything")
    parser.add_argument("--values", type=Path, action="append", help="values of the chart (default: tests/node/values.yaml)")
    parser.add_argument("--client-image", default="forebay/runtime:0.1.0", help="what asks for predictions runs in this")
    parser.add_argument("--hook", action="append", default=[], metavar="NAME=COMMAND", help="{pod}, {namespace} are filled in")
    parser.add_argument("--report", type=Path, help="write what was seen to this file, too")
    given = parser.parse_args(line)
    given.values = given.values or [ROOT / "tests" / "node" / "values.yaml"]
    return given


if __name__ == "__main__":
    sys.exit(main())
