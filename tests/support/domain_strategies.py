"""Random fleets and claims for properties of the domain."""

from dataclasses import dataclass

from hypothesis import strategies as st

from domain_builders import GIB, SIMULATED, a_holding, a_server, an_address
from forebay_operator.domain.fleet import Fleet, Replica, muster
from forebay_operator.domain.placement import Claim
from forebay_operator.domain.snapshot import DeviceClass, HoldingPhase, Pool, Server

BIG = DeviceClass("gpu", "big", 24 * GIB)
POOLS = (Pool("default", SIMULATED), Pool("default", BIG))
NAMES = ("adam", "bert", "cora")


@dataclass(frozen=True)
class PlacementCase:
    """A fleet, what is claimed of it, and how many more servers of each class there may be."""

    fleet: Fleet
    claims: tuple[Claim, ...]
    needs: dict[str, int]
    devices_left: dict[DeviceClass, int | None]

    def footprint(self, replica: Replica) -> int:
        measured = replica.footprint_bytes
        if measured is not None:
            return measured
        return self.needs.get(replica.address.name, replica.server.pool.device.memory_bytes)


@st.composite
def placement_cases(draw: st.DrawFn) -> PlacementCase:
    """What is held never takes more than there is, as on real servers."""
    needs = {name: draw(st.integers(1, 20)) * GIB for name in NAMES}
    servers = [_server(draw, number, needs) for number in range(draw(st.integers(0, 5)))]
    fleet = muster(servers, {})
    claims = tuple(_claim(draw, name, needs[name], fleet) for name in NAMES if draw(st.booleans()))
    left = {device: draw(st.one_of(st.none(), st.integers(0, 3))) for device in (SIMULATED, BIG)}
    return PlacementCase(fleet, claims, needs, left)


def _server(draw: st.DrawFn, number: int, needs: dict[str, int]) -> Server:
    pool = draw(st.sampled_from(POOLS))
    free = pool.device.memory_bytes
    holdings = []
    for name in (*NAMES, "stranger"):
        version = draw(st.integers(1, 2))
        phase = draw(st.sampled_from(HoldingPhase))
        measured = phase is HoldingPhase.READY and draw(st.booleans())
        size = draw(st.integers(1, 12)) * GIB if measured else needs.get(name, pool.device.memory_bytes)
        if draw(st.booleans()) and size <= free:
            free -= size
            holdings.append(a_holding(name, version, phase, footprint_bytes=size if measured else None))
    return a_server(f"s-{number}", *holdings, pool=pool, observed_at=draw(st.sampled_from([None, 1000.0])))


def _claim(draw: st.DrawFn, name: str, need: int, fleet: Fleet) -> Claim:
    pools = draw(st.sampled_from([POOLS, POOLS[:1], POOLS[1:]]))
    mine = fleet.of(an_address(name))
    older = tuple(each for each in mine if each.version == 1 and each.is_ready)
    return Claim(
        address=an_address(name),
        version=2,
        need_bytes=need,
        replicas=draw(st.integers(0, 4)),
        pools=pools,
        present=tuple(each for each in mine if each.version == 2 and each.server.pool in pools),
        refused=frozenset(draw(st.sets(st.sampled_from(["s-0", "s-1"]), max_size=1))),
        may_open=draw(st.booleans()),
        swappable=older if draw(st.booleans()) else (),
    )
