"""How many servers each pool has: what placement needs, some kept warm, idle ones let go after a while."""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field, replace

from forebay_operator.domain.actions import ResizePool
from forebay_operator.domain.deployment import Deployment
from forebay_operator.domain.devices import suitable
from forebay_operator.domain.fleet import Fleet, is_up
from forebay_operator.domain.placement import Placement
from forebay_operator.domain.snapshot import Capacity, DeviceClass, Pool, Server, ServerPhase, Settings


@dataclass(frozen=True, slots=True)
class Site:
    """The pools that a model may be placed in, preferred ones first. None: `reason` says why and what to do."""

    pools: tuple[Pool, ...]
    reason: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class PoolMemory:
    """What is remembered of pools from step to step."""

    idle_since: Mapping[str, float] = field(default_factory=dict[str, float])
    """Servers that hold nothing, and since when."""
    ordered: Mapping[Pool, int] = field(default_factory=dict[Pool, int])
    """Sizes that were ordered and do not show yet."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Sizing:
    actions: tuple[ResizePool, ...]
    memory: PoolMemory


SiteKey = tuple[str, str, str, str | None, bool, str]
"""All that a site depends on, apart from the devices that there are."""


def site_key(deployment: Deployment) -> SiteKey:
    placement = deployment.spec.placement
    own = deployment.address.name if placement.exclusive else ""
    template = (placement.pod_template or "") if own else ""
    is_cuda = deployment.spec.serving.provider == "cuda"
    return deployment.address.namespace, own, placement.device, placement.gpu_class, is_cuda, template


def site_of(deployment: Deployment, classes: tuple[DeviceClass, ...]) -> Site:
    """Where a model may be placed: in its namespace's pools of suitable devices, or in pools of its own."""
    spec = deployment.spec
    fitting = suitable(spec.placement, spec.serving.provider, classes)
    own = deployment.address.name if spec.placement.exclusive else ""
    template = (spec.placement.pod_template or "") if own else ""
    namespace = deployment.address.namespace
    return Site(tuple(Pool(namespace, device, own, template) for device in fitting.classes), fitting.reason)


def devices_left(capacity: Iterable[Capacity], servers: Collection[Server]) -> dict[DeviceClass, int | None]:
    """How many more servers of each class there may be; None: not limited. A device is taken until its server is gone."""
    left = {entry.device: entry.servers for entry in capacity}
    for server in servers:
        limit = left.get(server.pool.device)
        if limit is not None:
            left[server.pool.device] = max(limit - 1, 0)
    return left


def size(
    fleet: Fleet,
    placement: Placement,
    left: Mapping[DeviceClass, int | None],
    sites: Collection[Site],
    *,
    settings: Settings,
    memory: PoolMemory,
    now: float,
) -> Sizing:
    """The sizes to order. `left`: as placement was given it; `sites`: of all models that are not stopped."""
    needed = {pool for site in sites for pool in site.pools}
    idle_since = {
        name: memory.idle_since.get(name, now)
        for name, server in fleet.servers.items()
        if is_up(server) and name not in placement.occupied and not fleet.on(name)
    }
    plans = _PoolPlans(placement, dict(left), idle_since, settings, now)
    by_pool: dict[Pool, list[Server]] = {
        pool: [] for pool in (*placement.opened, *_warm_pools(sites, settings), *memory.ordered)
    }
    for server in fleet.servers.values():
        by_pool.setdefault(server.pool, []).append(server)
    late: dict[Pool, list[str]] = {}
    for server in fleet.given_up:
        by_pool.setdefault(server.pool, [])
        late.setdefault(server.pool, []).append(server.name)
    warm = set(_warm_pools(sites, settings))
    actions: list[ResizePool] = []
    ordered: dict[Pool, int] = {}
    for pool in sorted(by_pool):
        servers = by_pool[pool]
        given_up = tuple(late.get(pool, ()))
        resize = plans.resize(pool, servers, settings.warm_servers if pool in warm else 0, is_needed=pool in needed)
        if given_up:
            # Their places are taken when they are gone: a pool that should have as many servers as it has ends none.
            victims = (*given_up, *resize.victims)
            resize = replace(resize, servers=len(servers) - len(resize.victims), victims=victims)
        if resize.victims or resize.servers != len(servers) or memory.ordered.get(pool, resize.servers) != resize.servers:
            actions.append(resize)
            ordered[pool] = resize.servers
    return Sizing(actions=tuple(actions), memory=PoolMemory(idle_since=idle_since, ordered=ordered))


def _warm_pools(sites: Collection[Site], settings: Settings) -> list[Pool]:
    """The preferred shared pool of every model. A pool of one model alone would keep its device from all others."""
    if not settings.warm_servers:
        return []
    return list(dict.fromkeys(site.pools[0] for site in sites if site.pools and not site.pools[0].exclusive))


class _PoolPlans:
    """Decides pool by pool, so that all together stay within the devices there are."""

    def __init__(
        self,
        placement: Placement,
        left: dict[DeviceClass, int | None],
        idle_since: Mapping[str, float],
        settings: Settings,
        now: float,
    ) -> None:
        self._placement = placement
        self._left = left
        self._idle_since = idle_since
        self._settings = settings
        self._now = now
        for pool, opened in placement.opened.items():
            self._take(pool.device, opened)

    def resize(self, pool: Pool, servers: list[Server], warm: int, *, is_needed: bool) -> ResizePool:
        idle = sorted((each for each in servers if each.name in self._idle_since), key=self._staying_order)
        going = [each.name for each in idle if self._may_go(each, is_needed=is_needed)]
        outdated = {each.name for each in idle if each.outdated}
        spared = [name for name in going if name not in self._placement.reclaimed and name not in outdated]
        keep = max(0, warm - (len(idle) - len(going)))
        victims = tuple(name for name in going if name not in spared[:keep])
        opened = self._placement.opened.get(pool, 0)
        if opened and victims:
            # As many as before would end none and start none: one after the other.
            victims = tuple(name for name in victims if name in self._placement.reclaimed)
            opened = 0 if victims else opened
        more = self._take(pool.device, max(0, warm - (len(idle) - len(victims)))) if warm and not victims else 0
        return ResizePool(pool=pool, servers=len(servers) - len(victims) + opened + more, victims=victims)

    def _staying_order(self, server: Server) -> tuple[bool, float, str]:
        return server.phase is ServerPhase.STARTING, self._idle_since[server.name], server.name

    def _may_go(self, server: Server, *, is_needed: bool) -> bool:
        if server.outdated or server.name in self._placement.reclaimed or (server.pool.exclusive and not is_needed):
            return True
        return self._now - self._idle_since[server.name] >= self._settings.server_idle_s

    def _take(self, device: DeviceClass, servers: int) -> int:
        left = self._left.get(device, 0)
        taken = servers if left is None else min(servers, left)
        if left is not None:
            self._left[device] = left - taken
        return taken
