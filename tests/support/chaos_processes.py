"""What each process of a site takes: memory, descriptors, threads."""

import contextlib
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from chaos_site import PROGRAMS, Site
from local_processes import whole_command

_PROC: Final = Path("/proc")
_SIZES: Final = re.compile(r"^(Rss|Pss): +(\d+) kB$", re.MULTILINE)
_SERVER: Final = re.compile(r"scratch/servers/(\S+?)\0")


@dataclass(frozen=True, slots=True)
class Use:
    """Of one process at one moment."""

    process: str
    rss_kib: int
    pss_kib: int
    """Memory that it shares, divided among those who share it."""
    descriptors: int
    threads: int


def uses(site: Site) -> list[Use]:
    """Of all that last: conversions come and go and are left out."""
    return [use for name, pid in _lasting(site) if (use := _use(name, pid))]


def _lasting(site: Site) -> Iterator[tuple[str, int]]:
    up = site.up
    yield "controller", up.process.pid
    for name, program in PROGRAMS.items():
        yield from ((str(name), pid) for pid in up.pids(program))
    for pid in up.pids("forebay_runtime"):
        if found := _SERVER.search(whole_command(pid)):
            yield f"server {found[1]}", pid


def _use(name: str, pid: int) -> Use | None:
    """None: it has ended."""
    folder = _PROC / str(pid)
    with contextlib.suppress(OSError, KeyError):
        sizes = dict(_SIZES.findall((folder / "smaps_rollup").read_text()))
        counts = (len(os.listdir(folder / kind)) for kind in ("fd", "task"))
        return Use(name, int(sizes["Rss"]), int(sizes["Pss"]), *counts)
    return None
