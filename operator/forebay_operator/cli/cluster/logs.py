"""What a model's conversions and servers wrote: the pods' logs, read on from where the last look ended."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final

from forebay_operator.cli.cluster.api import ClusterApi, NotThereError
from forebay_operator.cli.cluster.gathering import Gathered
from forebay_operator.cli.connection import CommandError
from forebay_operator.cli.log_reader import LogLine, lines_of, mentioning
from forebay_operator.manifests.kinds import PODS
from forebay_operator.worlds.kubernetes import pods
from forebay_operator.worlds.kubernetes.store import Seen

_MOST_LINES: Final = 5000
"""Of one pod, at a look."""


@dataclass(slots=True)
class PodLogs:
    """Reads the logs of pods, again and again."""

    api: ClusterApi
    model: str
    _last: dict[tuple[str, str], str] = field(default_factory=dict[tuple[str, str], str])
    """The time of the last line that was read of each container of a pod (by uid), as the kubelet wrote it."""
    _told: set[str] = field(default_factory=set[str])

    def more(self, found: Gathered) -> list[str]:
        """What was written since the last call, in the order of time, and what could not be read, once."""
        lines: list[LogLine] = []
        for pod in found.job_pods:
            for container in _begun(pod):
                lines += lines_of(self._appended(pod, container), container, None)
        for pod in found.servers:
            for container in _begun(pod):
                lines += lines_of(self._appended(pod, container), pod.name, mentioning(self.model))
        problems = [*found.hidden, *(note for pod in (*found.job_pods, *found.servers) if (note := self._hindrance(pod)))]
        new = [problem for problem in problems if problem not in self._told]
        self._told.update(new)
        return [*(f"{'':8} {problem}" for problem in new), *(line.text for line in sorted(lines, key=lambda line: line.time))]

    def _hindrance(self, pod: Seen) -> str:
        if hindrance := pods.hindrance(pod):
            return f"pod {pod.name} does not start. {hindrance}"
        return ""

    def _appended(self, pod: Seen, container: str) -> Iterator[str]:
        query = {"container": container, "timestamps": "true", "tailLines": str(_MOST_LINES)}
        key = (pod.uid, container)
        if last := self._last.get(key, ""):
            # Whole seconds only: what was read already is left out below.
            query["sinceTime"] = f"{last[:19]}Z"
        try:
            text = self.api.text(PODS.path(pod.namespace, pod.name, "log"), **query)
        except NotThereError:
            return
        except CommandError as error:
            yield from self._unreadable(pod, error)
            return
        for line in text.splitlines():
            moment, _, written = line.partition(" ")
            if moment > last:
                self._last[key] = moment
                yield written

    def _unreadable(self, pod: Seen, error: CommandError) -> Iterator[str]:
        """Told once, as if the pod had said it itself: with the name of the model it is shown."""
        note = f"the log of pod {pod.name} cannot be read, so what it says of {self.model} is missing: {error}"
        if note not in self._told:
            self._told.add(note)
            yield note


def _begun(pod: Seen) -> list[str]:
    """The containers that run or ran, in the order in which they begin: of others there is no log."""
    return [
        str(each["name"])
        for each in pods.container_statuses(pod)
        if {"running", "terminated"} & (each.get("state") or {}).keys()
    ]
