"""The simulated world: what a story tells, in virtual time, behind the interface that every world has."""

import random
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from functools import partial

from forebay_operator.domain.actions import (
    Action,
    CollectArtifact,
    ForgetConversion,
    LoadReplica,
    ResizePool,
    SetRoutes,
    StartConversion,
    UnloadReplica,
    WriteStatus,
)
from forebay_operator.domain.deployment import Deployment
from forebay_operator.domain.routes import Endpoint
from forebay_operator.domain.snapshot import ConversionFailure, Snapshot
from forebay_operator.worlds.simulated.behaviour import ModelBehaviour
from forebay_operator.worlds.simulated.conversions import SimulatedConversions, SimulatedStore, artifact_digest
from forebay_operator.worlds.simulated.delivery import Delivery
from forebay_operator.worlds.simulated.fleet import Fleet
from forebay_operator.worlds.simulated.gateway import SimulatedGateway
from forebay_operator.worlds.simulated.replica import Batch
from forebay_operator.worlds.simulated.requests import Ledger, Outcome, Request
from forebay_operator.worlds.simulated.server import SimulatedServer
from forebay_operator.worlds.simulated.story import Apply, Delete, Load, Story
from forebay_operator.worlds.simulated.timeline import Timeline
from forebay_schema.addresses import ModelAddress

BEGINNING = 1_750_000_000.0
"""When every simulated world begins, in seconds since the epoch."""


class SimulatedWorld:
    """`advance` lets time pass; `observe` and `act` take none. Faults are done to it by `disasters`."""

    def __init__(self, story: Story) -> None:
        self.story = story
        self.timeline = Timeline(BEGINNING)
        self.ledger = Ledger()
        self.deployments: dict[ModelAddress, Deployment] = {}
        self.store = SimulatedStore()
        self.failing_loads: Counter[ModelAddress] = Counter()
        self.failing_conversions: list[ConversionFailure] = []
        self.attention = False
        """A model without a ready replica got a request since the last look."""
        self._digests: dict[str, frozenset[str]] = {}
        self._uids = 0
        self.conversions = SimulatedConversions(self.timeline, self.store, story.sources, self._conversion_fault)
        self.fleet = Fleet(story.fleet, self.timeline, self, {entry.device: entry.servers for entry in story.capacity})
        self.gateway = SimulatedGateway(
            story.gateway, self.timeline, self.ledger, self._chance("gateway"), self._offer, self._wake
        )
        self.delivery = Delivery(self.timeline, self._chance("delivery"), self._happen)
        self._plan()

    @property
    def seconds(self) -> float:
        """Since the beginning."""
        return self.timeline.now - BEGINNING

    def advance(self, seconds: float) -> None:
        """Let time pass, up to so many seconds since the beginning."""
        self.timeline.advance(BEGINNING + seconds)

    def observe(self) -> Snapshot:
        self.attention = False
        gateway = self.gateway
        return Snapshot(
            now=self.timeline.now,
            deployments=tuple(deployment for _, deployment in sorted(self.deployments.items())),
            servers=self.fleet.page(),
            capacity=self.story.capacity,
            conversions=tuple(conversion for _, conversion in sorted(self.conversions.known.items())),
            artifacts=tuple(artifact for _, artifact in sorted(self.store.artifacts.items())),
            demand=None if gateway.silent else gateway.demand(),
            routes=gateway.written,
            routes_acknowledged=None if gateway.silent else gateway.acknowledged,
            settings=self.story.settings,
        )

    def act(self, actions: Sequence[Action]) -> None:
        for action in actions:
            self.delivery.send(action)

    def restart_controller(self, *, forgets_conversions: bool) -> None:
        """What the world loses with the controller: counts since it listened, and perhaps what it knew of conversions."""
        self.gateway.listen_anew()
        if forgets_conversions:
            self.conversions.known.clear()

    def digests_of(self, uid: str) -> frozenset[str]:
        """The artifacts of all specs that a ModelDeployment has had."""
        return self._digests.get(uid, frozenset())

    # What servers need of the world around them.

    def fetch(self, namespace: str, digest: str) -> ModelBehaviour | None:
        return self.store.fetch(namespace, digest)

    def load_fault(self, address: ModelAddress) -> str:
        if self.failing_loads[address] <= 0:
            return ""
        self.failing_loads[address] -= 1
        return "the session could not be made: simulated fault"

    def answered(self, server: SimulatedServer, batch: Batch, version: int) -> None:  # noqa: ARG002 - a server's promise
        for request in batch:
            request.version = version
            self.gateway.ended(request, Outcome.ANSWERED)

    def died(self, requests: list[Request]) -> None:
        for request in requests:
            self.gateway.ended(request, Outcome.KILLED)

    def drained(self, server: SimulatedServer) -> None:
        self.fleet.remove(server)

    def _chance(self, part: str) -> random.Random:
        """Each part of the world has its own stream, so that a change in one part leaves the others as they were."""
        return random.Random(f"{self.story.seed}/{part}")

    def _plan(self) -> None:
        for edit in self.story.edits:
            self.timeline.at(BEGINNING + edit.at, partial(self._edit, edit))
        for number, load in enumerate(self.story.loads):
            self._plan_load(load, self._chance(f"load {number}"))

    def _plan_load(self, load: Load, chance: random.Random) -> None:
        times = load.arrivals.times(load.until - load.at, chance)

        def next_arrival() -> None:
            time = next(times, None)
            if time is not None:
                self.timeline.at(BEGINNING + load.at + time, arrive)

        def arrive() -> None:
            self.gateway.arrive(load.address)
            next_arrival()

        next_arrival()

    def _edit(self, edit: Apply | Delete) -> None:
        present = self.deployments.get(edit.address)
        if isinstance(edit, Apply):
            self._apply(edit, present)
        elif present is not None:
            self.deployments[edit.address] = replace(present, deleting=True)
            self._vanish(edit, present.uid)

    def _vanish(self, edit: Delete, uid: str) -> None:
        def vanish() -> None:
            if edit.address in self.deployments and self.deployments[edit.address].uid == uid:
                del self.deployments[edit.address]

        if edit.lingers_s > 0.0:
            self.timeline.after(edit.lingers_s, vanish)
        else:
            vanish()

    def _apply(self, edit: Apply, present: Deployment | None) -> None:
        if present is None:
            self._uids += 1
            created = Deployment(address=edit.address, uid=f"uid-{self._uids}", generation=1, spec=edit.spec)
            self._keep(created)
        elif present.deleting:
            # The name is taken until the old object is gone: the user tries again.
            self.timeline.after(1.0, partial(self._edit, edit))
        elif present.spec != edit.spec:
            self._keep(replace(present, spec=edit.spec, generation=present.generation + 1))

    def _keep(self, deployment: Deployment) -> None:
        self.deployments[deployment.address] = deployment
        digest = artifact_digest(deployment.spec.source, deployment.spec.serving.max_batch_size)
        self._digests[deployment.uid] = self.digests_of(deployment.uid) | {digest}

    def _conversion_fault(self) -> ConversionFailure | None:
        return self.failing_conversions.pop() if self.failing_conversions else None

    def _offer(self, endpoint: Endpoint, request: Request, version: int) -> bool:
        server = self.fleet.by_endpoint.get(endpoint)
        return server is not None and server.offer(request, version)

    def _wake(self) -> None:
        self.attention = True

    def _happen(self, action: Action) -> None:
        match action:
            case StartConversion():
                self.conversions.start(action)
            case ForgetConversion():
                self.conversions.forget(action.id)
            case ResizePool():
                self.fleet.resize(action)
            case LoadReplica():
                if action.server in self.fleet.servers:
                    self.fleet.servers[action.server].load(action)
            case UnloadReplica():
                if action.server in self.fleet.servers:
                    self.fleet.servers[action.server].unload(action)
            case SetRoutes():
                self.gateway.write(action.routes)
            case WriteStatus():
                self._write_status(action)
            case CollectArtifact():
                self.store.collect(action.namespace, action.digest)

    def _write_status(self, action: WriteStatus) -> None:
        present = self.deployments.get(action.address)
        if present is not None and present.uid == action.uid:
            self.deployments[action.address] = replace(present, status=action.status)
