"""Looks at one ModelDeployment after the other: what each wants, or that it is at rest."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import replace

from forebay_operator.domain import assessment, demand, pools, scaling, statuses
from forebay_operator.domain.assessment import Assessment, Sight
from forebay_operator.domain.demand import LoadMemory
from forebay_operator.domain.deployment import Deployment
from forebay_operator.domain.devices import classes_of
from forebay_operator.domain.failures import Failures, ModelFailures
from forebay_operator.domain.fleet import Fleet
from forebay_operator.domain.memory import Cache, Memory
from forebay_operator.domain.model_memory import ModelMemory
from forebay_operator.domain.pools import Site, SiteKey
from forebay_operator.domain.rest import Rest, Settled
from forebay_operator.domain.revisions import identify
from forebay_operator.domain.routes import Route
from forebay_operator.domain.scaling import Scaling
from forebay_operator.domain.snapshot import Conversion, ConversionId, GatewayDemand, Snapshot
from forebay_schema.addresses import ModelAddress

_NO_DEMAND = GatewayDemand()
_NO_FAILURES = ModelFailures()


class Survey:
    """What one step looks at models with."""

    def __init__(self, snapshot: Snapshot, memory: Memory, fleet: Fleet, failed: Failures) -> None:
        self._snapshot = snapshot
        self._memory = memory
        self._fleet = fleet
        self._conversions: Mapping[ConversionId, Conversion] = {each.id: each for each in snapshot.conversions}
        self._failed = failed
        self._routed: list[dict[ModelAddress, Route]] | None = None
        self.classes = classes_of(snapshot.capacity, snapshot.servers)
        # What is at rest is so under these settings and with these devices.
        same = memory.cache.settings == snapshot.settings and memory.cache.classes == self.classes
        self._settled = memory.cache.settled if same else Cache().settled
        self.sites: dict[SiteKey, Site] = dict(memory.cache.sites) if same else {}

    def look(self, deployment: Deployment) -> Assessment | Settled:
        """What a model wants; the very value of the step before, when nothing about it has changed."""
        settled = self._settled.get(deployment.address)
        if settled is None:
            return self._assess(self._sight(deployment))
        rest, replicas = settled.rest, self._fleet.replicas.get(deployment.address, ())
        conversion = self._conversion_of(settled.memory) if self._conversions else None
        if not rest.is_same(deployment, replicas, conversion):
            sight = self._sight(deployment)
            return self._assess(sight, self._scale(sight, rest if sight.before is settled.memory else None))
        if rest.is_untouched(replicas, self.gateway(deployment.address), self._snapshot.now):
            return settled
        return self._under_load(self._sight(deployment), rest)

    def gateway(self, address: ModelAddress) -> GatewayDemand | None:
        """What the gateways report of a model; None: nothing is known."""
        demands = self._snapshot.demand
        return None if demands is None else demands.get(address, _NO_DEMAND)

    def _conversion_of(self, before: ModelMemory) -> Conversion | None:
        return self._conversions.get(before.identity.conversion) if before.identity else None

    def _sight(self, deployment: Deployment) -> Sight:
        before = self._memory.models.get(deployment.address)
        if before is None or before.uid != deployment.uid:
            before = ModelMemory(uid=deployment.uid)
        identity = before.identity
        if identity is None or (identity.spec is not deployment.spec and identity.spec != deployment.spec):
            identity = identify(deployment.address.namespace, deployment.spec)
        return Sight(
            deployment=deployment,
            before=before,
            identity=identity,
            site=self._site(deployment),
            replicas=self._fleet.of(deployment.address),
            conversion=self._conversions.get(identity.conversion),
            failures=self._failed.of(deployment.address) if self._failed else _NO_FAILURES,
        )

    def _site(self, deployment: Deployment) -> Site:
        key = pools.site_key(deployment)
        if key not in self.sites:
            self.sites[key] = pools.site_of(deployment, self.classes)
        return self.sites[key]

    def _under_load(self, sight: Sight, rest: Rest) -> Assessment | Settled:
        """A model that is at rest but for its load: only that is looked at, as long as it calls for nothing else."""
        wish, load = self._scale(sight, rest)
        said = sight.said
        queue = statuses.queue_depth(wish.waiting, len(rest.outcome.ready))
        if (
            said is None
            or wish.wanted != rest.scaling.wanted
            or wish.unknown != rest.scaling.unknown
            or statuses.are_figures_due(said, sight.before.figures_at, queue, self._snapshot.now)
        ):
            return self._assess(sight, (wish, load))
        if not statuses.are_figures_said(said, queue):
            wish = replace(wish, same_until=self._snapshot.now)
        gateway = self.gateway(sight.deployment.address)
        return Settled(rest.under_load(sight.replicas, gateway, wish), sight.before.under_load(wish, load))

    def _assess(self, sight: Sight, scaled: tuple[Scaling, LoadMemory | None] | None = None) -> Assessment:
        address = sight.deployment.address
        found, preparation = assessment.prepare(sight, lambda: self._routed_versions(address), self._snapshot.now)
        wish, load = scaled or self._scale(sight, None)
        return assessment.assess(sight, found, preparation, scaling=wish, load=load, now=self._snapshot.now)

    def _scale(self, sight: Sight, rest: Rest | None) -> tuple[Scaling, LoadMemory | None]:
        deployment, before, now = sight.deployment, sight.before, self._snapshot.now
        if deployment.deleting:
            return scaling.none_wanted(now, "It is being deleted."), None
        skipped_until = self._skipped_until(rest)
        said = sight.said
        signals = demand.Signals(
            now=now,
            serving=said.revision if said else 0,
            replicas=sight.replicas,
            fading=before.fading,
            starting=before.starting if before.scaling else sum(not each.is_ready for each in sight.replicas),
            gateway=self.gateway(deployment.address),
            counted_since=skipped_until,
        )
        seen, load = demand.observe(before.load, signals)
        wish = scaling.scale(
            deployment.spec,
            before.scaling,
            seen,
            present=before.scaling.wanted if before.scaling else _present(sight),
            hold_seconds=self._snapshot.settings.hold_seconds,
            skipped_until=skipped_until,
        )
        if wish.at != now:
            # The decision before stands: what came since is counted with what comes until the next one.
            load = before.load or load
        # Arrivals that are not counted yet must be looked at again.
        return (wish if load.at == now else replace(wish, same_until=now)), load

    def _skipped_until(self, rest: Rest | None) -> float | None:
        """The last step, if it passed over the model: until then its counters stood still."""
        last = self._memory.at
        return last if rest is not None and last is not None and rest.scaling.same_until > last else None

    def _routed_versions(self, address: ModelAddress) -> set[int]:
        if self._routed is None:
            tables = [self._snapshot.routes, self._snapshot.routes_acknowledged or ()]
            self._routed = [{route.address: route for route in table if route.versions} for table in tables]
        routes = [table[address] for table in self._routed if address in table]
        return {entry.version for route in routes for entry in route.versions}


def _present(sight: Sight) -> int:
    """How many replicas were wanted, as far as can be told without memory: what the status says, or more if more are there.

    Those of an older revision do not count beside those of the newer, nor those on outdated servers or where the spec no
    longer wants them, as others may just be taking over from them.
    """
    said = sight.said.scaling if sight.said is not None else None
    pools = sight.site.pools
    versions = [
        each.version
        for each in sight.replicas
        if each.is_coming_or_here and (said is None or (each.server.pool in pools and not each.server.outdated))
    ]
    there = max(Counter(versions).values(), default=0)
    return there if said is None else max(said.wanted, there)
