"""Ending every process that one `forebay up` started, however it ended itself.

Every process of ours carries a mark in its environment, and so does what it starts; what scrubs its environment is known by
the process groups that were written down, each with the start time of its leader, so that no reused pid is ever ended.
"""

import contextlib
import os
import signal
import time
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final, Self

from forebay_operator.worlds.local import process_table

MARK: Final = "FOREBAY_UP"
"""The environment variable that all processes of one state folder share."""
_ROUNDS: Final = 50


@dataclass(frozen=True, slots=True)
class Group:
    """A process group that we started: the pid of its leader, and when that started."""

    pid: int
    started: int

    @classmethod
    def parse(cls, line: str) -> Self | None:
        """Read what `str` wrote; None: it was cut off in the middle."""
        words = line.split()
        if len(words) != 2 or not all(word.isdecimal() for word in words):  # noqa: PLR2004 - pid and start time
            return None
        return cls(int(words[0]), int(words[1]))

    def __str__(self) -> str:
        return f"{self.pid} {self.started}"


def end_all(mark: str, groups: Iterable[Group]) -> int:
    """Kill all that carries the mark, and the groups. Returns how many processes were ended; waits until they are gone."""
    recorded = tuple(groups)
    ended: set[int] = set()
    for _ in range(_ROUNDS):
        found = _marked(mark) | _members(recorded)
        if not found:
            break
        ended |= found
        for pid in found:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.kill(pid, signal.SIGKILL)
        # What was just forked shows in the next round.
        time.sleep(0.02)
    return len(ended)


def _marked(mark: str) -> set[int]:
    return {
        pid
        for pid in process_table.pids()
        if pid != os.getpid()
        and process_table.has_in_environment(pid, MARK, mark)
        and process_table.start_time(pid) is not None
    }


def _members(groups: tuple[Group, ...]) -> set[int]:
    """Those in a recorded group whose leader is the one recorded, or is gone while the others live on.

    A pid is not given to a new process while a group of that number exists: a leader with another start time means that the
    whole recorded group ended.
    """
    alive = {group.pid for group in groups if process_table.start_time(group.pid) in (None, group.started)}
    if not alive:
        return set()
    return {
        pid
        for pid in process_table.pids()
        if pid != os.getpid() and process_table.group_of(pid) in alive and process_table.start_time(pid) is not None
    }
