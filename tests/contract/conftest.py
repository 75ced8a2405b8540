"""The worlds that the contract is tried on."""

import itertools
import os
from collections.abc import AsyncGenerator
from pathlib import Path

import pytest
import pytest_asyncio

from cluster_control_plane import Access
from cluster_gateway import gateway
from cluster_site import site
from contract_cluster import ClusterSite
from contract_local import LocalSite
from contract_simulated import SimulatedSite
from contract_witness import Witness

_numbers = itertools.count(1)


@pytest_asyncio.fixture(scope="module", loop_scope="module", params=["simulated", "local", "kubernetes"])
async def witness(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> AsyncGenerator[Witness]:
    """A world that all tests of a module share: what one of them started, the next finds started."""
    folder = tmp_path_factory.mktemp(request.param)
    if request.param == "simulated":
        yield Witness(SimulatedSite())
    elif request.param == "local":
        local = LocalSite(folder)
        yield Witness(local)
        await local.close()
    else:
        access: Access = request.getfixturevalue("cluster")
        async for made in _in_a_cluster(access, folder):
            yield made


async def _in_a_cluster(access: Access, folder: Path) -> AsyncGenerator[Witness]:
    with site(access, f"contract-{os.getpid()}-{next(_numbers)}", folder) as here, gateway(access, here.namespace):
        cluster = ClusterSite(here, here.start_kubelet())
        try:
            await cluster.start()
            yield Witness(cluster)
        finally:
            await cluster.close()
