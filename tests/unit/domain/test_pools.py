from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from domain_builders import CPU, GPU, NOW, POOL, SIMULATED, a_deployment, a_holding, a_server, a_spec
from forebay_operator.domain import pools
from forebay_operator.domain.actions import ResizePool
from forebay_operator.domain.deployment import Placement as PlacementSettings
from forebay_operator.domain.fleet import is_overdue, muster
from forebay_operator.domain.placement import Placement
from forebay_operator.domain.pools import PoolMemory, Site, Sizing
from forebay_operator.domain.snapshot import Capacity, Pool, Server, ServerPhase, Settings

SITE = Site((POOL,))
SETTINGS = Settings(server_idle_s=60.0)


def sized(
    *servers: Server,
    plan: Placement | None = None,
    left: int | None = 4,
    sites: tuple[Site, ...] = (SITE,),
    settings: Settings = SETTINGS,
    memory: PoolMemory | None = None,
    now: float = NOW,
) -> Sizing:
    fleet = muster(servers, {}, is_given_up=lambda server: is_overdue(server, settings.server_start_timeout_s, now))
    return pools.size(
        fleet,
        plan or Placement(),
        {SIMULATED: left},
        sites,
        settings=settings,
        memory=memory or PoolMemory(),
        now=now,
    )


def test_a_model_belongs_to_its_namespaces_pools_or_to_its_own() -> None:
    shared = a_deployment(spec=a_spec(placement=PlacementSettings()))
    own = a_deployment(spec=a_spec(placement=PlacementSettings(exclusive=True, pod_template="{}")))
    assert pools.site_of(shared, (SIMULATED, GPU)).pools == (Pool("default", SIMULATED), Pool("default", GPU))
    assert pools.site_of(own, (SIMULATED,)).pools == (Pool("default", SIMULATED, "digits", "{}"),)
    assert pools.site_of(a_deployment(spec=a_spec(placement=PlacementSettings(device="gpu"))), (CPU,)).reason


def test_models_with_the_same_key_have_the_same_site() -> None:
    ours, theirs = a_deployment(), a_deployment(spec=a_spec("data:b"))
    assert pools.site_key(ours) == pools.site_key(theirs)
    assert pools.site_key(ours) != pools.site_key(a_deployment(spec=a_spec(placement=PlacementSettings(exclusive=True))))


def test_a_device_is_taken_until_its_server_is_gone() -> None:
    servers = [a_server("a"), a_server("b", phase=ServerPhase.LOST), a_server("c", phase=ServerPhase.DRAINING)]
    capacity = [Capacity(device=SIMULATED, servers=4), Capacity(device=GPU, servers=None), Capacity(device=CPU, servers=1)]
    assert pools.devices_left(capacity, servers) == {SIMULATED: 1, GPU: None, CPU: 1}


def test_servers_that_the_plan_needs_are_asked_for() -> None:
    found = sized(a_server("a", a_holding()), plan=Placement(opened={POOL: 2}, occupied=frozenset({"a"})))
    assert found.actions == (ResizePool(pool=POOL, servers=3),)


def test_a_pool_that_is_right_is_left_alone() -> None:
    assert not sized(a_server("a", a_holding()), plan=Placement(occupied=frozenset({"a"}))).actions


def test_an_idle_server_goes_after_a_while() -> None:
    first = sized(a_server("a"))
    assert not first.actions
    assert first.memory.idle_since == {"a": NOW}
    assert not sized(a_server("a"), memory=first.memory, now=NOW + 59).actions
    later = sized(a_server("a"), memory=first.memory, now=NOW + 60)
    assert later.actions == (ResizePool(pool=POOL, servers=0, victims=("a",)),)


def test_a_server_that_was_used_in_between_is_idle_anew() -> None:
    first = sized(a_server("a"))
    used = sized(a_server("a", a_holding()), memory=first.memory, now=NOW + 30)
    assert not used.memory.idle_since
    assert not sized(a_server("a"), memory=used.memory, now=NOW + 70).actions


def test_warm_servers_are_kept_beside_those_that_are_needed() -> None:
    settings = replace(SETTINGS, warm_servers=1)
    assert sized(settings=settings).actions == (ResizePool(pool=POOL, servers=1),)
    busy = a_server("a", a_holding())
    plan = Placement(occupied=frozenset({"a"}))
    assert sized(busy, plan=plan, settings=settings).actions == (ResizePool(pool=POOL, servers=2),)
    idle = PoolMemory(idle_since={"b": NOW - 1000})
    assert not sized(busy, a_server("b"), plan=plan, settings=settings, memory=idle).actions


def test_no_server_is_kept_warm_for_nobody_for_one_model_alone_or_beyond_the_devices() -> None:
    settings = replace(SETTINGS, warm_servers=2)
    assert not sized(settings=settings, sites=()).actions
    assert not sized(settings=settings, sites=(Site((Pool("default", SIMULATED, "digits"),)),)).actions
    assert sized(settings=settings, left=1).actions == (ResizePool(pool=POOL, servers=1),)


def test_an_idle_server_whose_device_others_need_goes_at_once() -> None:
    found = sized(a_server("a"), plan=Placement(reclaimed=frozenset({"a"})), settings=replace(SETTINGS, warm_servers=1))
    assert found.actions == (ResizePool(pool=POOL, servers=0, victims=("a",)),)


def test_a_pool_whose_only_model_is_gone_ends_at_once() -> None:
    own = Pool("default", SIMULATED, "digits")
    assert not sized(a_server("a", pool=own), sites=(Site((own,)),)).actions
    assert sized(a_server("a", pool=own), sites=()).actions == (ResizePool(pool=own, servers=0, victims=("a",)),)


def test_a_server_that_does_not_start_is_given_up_before_another_takes_its_place() -> None:
    late = a_server("a", phase=ServerPhase.STARTING, started_at=NOW - 121)
    assert sized(late, plan=Placement(opened={POOL: 1})).actions == (ResizePool(pool=POOL, servers=0, victims=("a",)),)


def test_an_order_that_is_no_longer_right_is_taken_back() -> None:
    asked = sized(plan=Placement(opened={POOL: 2}))
    assert asked.memory.ordered == {POOL: 2}
    back = sized(memory=asked.memory)
    assert back.actions == (ResizePool(pool=POOL, servers=0),)
    assert not sized(memory=back.memory).actions


@given(
    st.lists(st.tuples(st.booleans(), st.booleans()), max_size=6),
    st.integers(0, 3),
    st.integers(0, 3),
    st.floats(0, 200),
)
def test_a_pool_never_ends_a_server_that_is_used_and_never_grows_past_its_devices(
    servers: list[tuple[bool, bool]], left: int, warm: int, idle_s: float
) -> None:
    seen = [a_server(f"s-{n}", *([a_holding()] if holds else [])) for n, (holds, _) in enumerate(servers)]
    used = frozenset(f"s-{n}" for n, (_, is_used) in enumerate(servers) if is_used)
    memory = PoolMemory(idle_since={server.name: NOW - idle_s for server in seen})
    settings = replace(SETTINGS, warm_servers=warm)
    found = sized(*seen, plan=Placement(occupied=used), left=left, settings=settings, memory=memory)
    for action in found.actions:
        assert action.servers <= len(seen) + left
        assert not set(action.victims) & used
        assert not any(server.holdings for server in seen if server.name in action.victims)


def test_servers_are_started_before_others_of_their_pool_end() -> None:
    idle = a_server("old", outdated=True)
    assert sized(idle).actions == (ResizePool(pool=POOL, servers=0, victims=("old",)),)
    assert sized(idle, plan=Placement(opened={POOL: 1})).actions == (ResizePool(pool=POOL, servers=2),)
    reclaimed = Placement(opened={POOL: 1}, reclaimed=frozenset({"old"}))
    assert sized(idle, plan=reclaimed).actions == (ResizePool(pool=POOL, servers=0, victims=("old",)),)
