"""Which process groups the gateway has written down, as its Envoy may outlive it."""

import json
import subprocess
import sys
from collections.abc import Generator

import pytest

from forebay_operator.worlds.local.gateway import Gateway
from forebay_operator.worlds.local.leftovers import Group
from forebay_operator.worlds.local.process_table import start_time
from forebay_operator.worlds.local.surroundings import Surroundings
from forebay_schema.demand import DemandLine


def say_envoy(around: Surroundings, group: Group) -> None:
    folder = around.run / "envoy"
    folder.mkdir(exist_ok=True)
    said = {"pid": group.pid, "started": group.started, "bootstrap": ""}
    (folder / "new").write_text(json.dumps(said))
    (folder / "new").replace(folder / "envoy-process.json")


@pytest.fixture
def process() -> Generator[Group]:
    """A process in a group of its own."""
    sleeper = [sys.executable, "-c", "import time; time.sleep(600)"]
    with subprocess.Popen(sleeper, start_new_session=True) as running:
        try:
            yield Group(running.pid, start_time(running.pid) or 0)
        finally:
            running.kill()


async def test_envoy_is_recorded_unless_its_pid_is_another_process_by_now(around: Surroundings, process: Group) -> None:
    gateway = Gateway(around, http_port=0, grpc_port=0, hold_seconds=1.0)
    recorded: list[str] = []

    for sequence, group in enumerate((Group(process.pid, process.started + 1), process)):
        say_envoy(around, group)
        gateway.hear(DemandLine(gateway="g", sequence=sequence).to_json().encode())
        recorded.append(around.folder.groups.read_text())

    assert recorded == ["", f"{process}\n"]
