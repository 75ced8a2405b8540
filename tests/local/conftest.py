from collections.abc import Generator
from pathlib import Path

import pytest

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
