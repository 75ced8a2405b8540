"""One gateway and two servers for the tests of a module; each test brings its own route table."""

from collections.abc import Generator

import pytest

from gateway_processes import Backend, GatewayProcess


@pytest.fixture(scope="module")
def gateway() -> Generator[GatewayProcess]:
    with GatewayProcess.running() as running:
        yield running


@pytest.fixture(scope="module")
def shared_backends() -> Generator[tuple[Backend, Backend]]:
    with Backend.running("one") as one, Backend.running("two") as two:
        yield one, two


@pytest.fixture
def backends(shared_backends: tuple[Backend, Backend]) -> tuple[Backend, Backend]:
    """Two servers that have seen nothing yet and answer at once."""
    for backend in shared_backends:
        backend.reset()
    return shared_backends


@pytest.fixture
def backend(backends: tuple[Backend, Backend]) -> Backend:
    return backends[0]
