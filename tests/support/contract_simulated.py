"""The simulated world under the contract."""

import itertools
from collections.abc import Awaitable
from dataclasses import replace

from contract_witness import Json
from forebay_operator import translate
from forebay_operator.api.v1alpha1 import ModelDeployment
from forebay_operator.domain.routes import routed
from forebay_operator.domain.snapshot import Capacity, Server
from forebay_operator.worlds import World
from forebay_operator.worlds.simulated.behaviour import ModelBehaviour
from forebay_operator.worlds.simulated.requests import Outcome
from forebay_operator.worlds.simulated.story import Story
from forebay_operator.worlds.simulated.world import SimulatedWorld
from forebay_schema.addresses import ModelAddress
from simulation_builders import DEVICE, POOL, SOURCE

_MOMENT_S = 0.1
_BEHAVIOUR = ModelBehaviour(convert_s=3.0, load_s=2.5, base_s=0.2, per_item_s=0.0)


class SimulatedSite:
    namespace = POOL.namespace
    pool = POOL
    source = SOURCE
    nowhere = "file:///models/nowhere.onnx"
    keeps_servers = True

    def __init__(self) -> None:
        story = Story(capacity=(Capacity(device=DEVICE, servers=2),), sources={SOURCE: _BEHAVIOUR})
        self._world = SimulatedWorld(story)
        self._uids = itertools.count(1)

    @property
    def world(self) -> World:
        return self._world

    async def pass_time(self) -> None:
        self._world.advance(self._world.seconds + _MOMENT_S)

    async def apply(self, content: Json) -> None:
        deployment = translate.deployment_of(ModelDeployment.from_object(content))
        self._world.deployments[deployment.address] = replace(deployment, uid=f"uid-{next(self._uids)}", generation=1)

    async def delete(self, name: str) -> None:
        del self._world.deployments[ModelAddress(self.namespace, name)]

    async def lose(self, server: Server) -> None:
        self._world.fleet.kill(self._world.fleet.servers[server.name], "it was killed")

    def ask(self, server: Server, address: ModelAddress, version: int, requests: int) -> Awaitable[int]:
        assert server.endpoint is not None
        gateway, ledger = self._world.gateway, self._world.ledger
        gateway.write((routed(address, version, [server.endpoint]),))
        self._world.advance(self._world.seconds + gateway.settings.apply_s)
        before = ledger.by_outcome()[Outcome.ANSWERED]
        for _ in range(requests):
            gateway.arrive(address)

        async def answered() -> int:
            # Those that a server refuses are held, for as long as the gateway holds.
            self._world.advance(self._world.seconds + gateway.settings.hold_s)
            return ledger.by_outcome()[Outcome.ANSWERED] - before

        return answered()

    async def restart(self) -> None:
        self._world.restart_controller(forgets_conversions=False)

    async def close(self) -> None:
        """Nothing runs."""
