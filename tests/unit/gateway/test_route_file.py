import asyncio
import resource
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

import pytest

from forebay_gateway import atomicfile
from forebay_gateway.routefile import RouteFile
from forebay_schema.routes import RouteTable
from gateway_xds import route

PATIENCE_S = 60


@contextmanager
def no_file_to_open() -> Generator[None]:
    """What is open stays open, nothing else can be opened."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (0, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "routes.json"


async def test_a_table_that_could_not_be_opened_once_is_read_again(path: Path) -> None:
    table = RouteTable(routes=(route("a"),))
    atomicfile.write(path, table.to_json())
    file = RouteFile(path)
    first = asyncio.ensure_future(anext(file.tables()))
    with no_file_to_open():
        await asyncio.sleep(0)
        assert "Too many open files" in file.complaint
    index = await asyncio.wait_for(first, PATIENCE_S)
    assert index.mark == table.digest()
    assert file.complaint == ""
