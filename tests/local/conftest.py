from collections.abc import AsyncGenerator, Generator
from pathlib import Path

import pytest

from forebay_operator.worlds.clock import Clock
from forebay_operator.worlds.local.processes import ProcessHost
from forebay_operator.worlds.local.state import StateFolder, fresh_run_folder
from forebay_operator.worlds.local.surroundings import Surroundings
from local_up import SIMULATED, Up, running_up


@pytest.fixture(scope="session")
def up(tmp_path_factory: pytest.TempPathFactory) -> Generator[Up]:
    """One `forebay up` on two simulated GPUs, shared by the tests that do not end it. It watches the folder `files`."""
    root = tmp_path_factory.mktemp("up")
    (root / "files").mkdir()
    with running_up(root / "state", str(root / "files"), *SIMULATED) as running:
        yield running


@pytest.fixture(scope="session")
def files(up: Up) -> Path:
    """The folder whose files the shared `forebay up` follows."""
    return up.folder.root.parent / "files"


@pytest.fixture
async def around(tmp_path: Path) -> AsyncGenerator[Surroundings]:
    folder = StateFolder(tmp_path)
    folder.prepare()
    host = ProcessHost(folder)
    host.open()
    yield Surroundings(
        folder=folder,
        run=fresh_run_folder(folder),
        host=host,
        clock=Clock(),
        changed=lambda: None,
        tell=lambda _subject, _text: None,
    )
    host.close()
