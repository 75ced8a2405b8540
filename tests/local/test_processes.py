"""Real processes: nothing outlives the `forebay up` that started it."""

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from forebay_operator.worlds.local.leftovers import Group
from forebay_operator.worlds.local.processes import Command, Process, ProcessHost
from forebay_operator.worlds.local.state import StateFolder
from local_processes import alive, wait_until

SLEEPER = (sys.executable, "-c", "import time; print('here', flush=True); time.sleep(600)")
HOST = """
import asyncio, sys
from pathlib import Path
from forebay_operator.worlds.local.processes import Command, ProcessHost
from forebay_operator.worlds.local.state import StateFolder

async def main():
    folder = StateFolder(Path(sys.argv[1]))
    host = ProcessHost(folder)
    host.open()
    escaping = "import subprocess as s; p = s.Popen(['sleep', '99'], process_group=0); print(p.pid, flush=True); p.wait()"
    for name, code in (("plain", "import time; time.sleep(600)"), ("escaping", escaping)):
        log = folder.logs / f"{name}.log"
        process = host.start(Command(name=name, arguments=[sys.executable, "-c", code], log=log, environment={}))
        print(process.pid, flush=True)
    await asyncio.sleep(600)

asyncio.run(main())
"""


@pytest.fixture
def folder(tmp_path: Path) -> StateFolder:
    state = StateFolder(tmp_path)
    state.prepare()
    return state


@pytest.fixture
def host(folder: StateFolder) -> Iterator[ProcessHost]:
    processes = ProcessHost(folder)
    processes.open()
    yield processes
    processes.close()


def a_command(folder: StateFolder, *arguments: str) -> Command:
    return Command(name="child", arguments=arguments or SLEEPER, log=folder.logs / "child.log", environment={})


def a_stranger() -> subprocess.Popen[bytes]:
    return subprocess.Popen(SLEEPER, stdout=subprocess.DEVNULL, start_new_session=True)


def says(process: Process, words: str) -> None:
    wait_until(lambda: process.log.exists() and words in process.log.read_text(), f"{words!r} in {process.log}")


async def test_a_process_that_ends_says_how_and_with_which_last_words(host: ProcessHost, folder: StateFolder) -> None:
    process = host.start(a_command(folder, sys.executable, "-c", "print('no luck'); raise SystemExit(3)"))

    assert await asyncio.wait_for(process.ended, 60) == 3
    assert process.how_it_ended() == "it ended with exit status 3: no luck"


async def test_a_process_that_does_not_end_when_asked_is_ended_after_the_grace(host: ProcessHost, folder: StateFolder) -> None:
    stubborn = "import signal, time; signal.signal(15, signal.SIG_IGN); print('here', flush=True); time.sleep(600)"
    process = host.start(a_command(folder, sys.executable, "-c", stubborn))
    says(process, "here")

    await process.stop(grace_s=0.2)

    assert not alive(process.pid)
    assert process.how_it_ended().startswith("it was ended by SIGKILL")


async def test_closing_ends_everything_that_still_runs(host: ProcessHost, folder: StateFolder) -> None:
    process = host.start(a_command(folder))
    says(process, "here")

    host.close()

    assert not alive(process.pid)
    await process.ended


def test_after_a_kill_of_the_host_nothing_runs_on_not_even_what_left_its_group(folder: StateFolder) -> None:
    with subprocess.Popen([sys.executable, "-c", HOST, str(folder.root)], stdout=subprocess.PIPE, text=True) as host:
        assert host.stdout
        children = [int(host.stdout.readline()) for _ in range(2)]
        log = folder.logs / "escaping.log"
        wait_until(lambda: log.exists() and log.read_text().strip(), "the child's child")
        children.append(int(log.read_text()))
        assert all(alive(pid) for pid in children)
        os.kill(host.pid, signal.SIGKILL)

    wait_until(lambda: not any(alive(pid) for pid in children), f"the end of {children}")


async def test_the_next_start_ends_what_the_reaper_could_not(folder: StateFolder) -> None:
    first = ProcessHost(folder)
    first.open()
    process = first.start(a_command(folder))
    says(process, "here")
    second = ProcessHost(folder)

    second.open()

    assert not alive(process.pid)
    await process.ended
    second.close()
    first.close()


async def test_a_recorded_pid_that_now_belongs_to_another_process_is_left_alone(folder: StateFolder) -> None:
    with a_stranger() as stranger:
        folder.groups.write_text(f"{stranger.pid} 1\n")
        host = ProcessHost(folder)

        host.open()

        host.close()
        assert alive(stranger.pid)
        stranger.kill()


def test_a_pid_that_was_given_to_another_process_meanwhile_is_not_recorded(host: ProcessHost, folder: StateFolder) -> None:
    with a_stranger() as stranger:
        host.record(Group(stranger.pid, started=1))
        recorded = folder.groups.read_text()

        host.close()

        assert alive(stranger.pid)
        stranger.kill()
    assert not recorded
