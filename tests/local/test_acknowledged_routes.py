"""What the local world says that Envoy follows, as the gateway's lines tell it."""

from forebay_operator.domain.routes import Endpoint, Route, routed
from forebay_operator.worlds.local.gateway import Gateway
from forebay_operator.worlds.local.surroundings import Surroundings
from forebay_schema.addresses import ModelAddress
from forebay_schema.demand import DemandLine, RefusedRoute
from forebay_schema.routes import RouteTable

DIGITS, FACES = ModelAddress("default", "digits"), ModelAddress("default", "faces")
OLD, NEW = Endpoint("127.0.0.1", 1, 2), Endpoint("127.0.0.1", 3, 4)


def routes(endpoint: Endpoint) -> tuple[Route, ...]:
    return routed(DIGITS, 1, [endpoint]), routed(FACES, 1, [endpoint])


def digest(around: Surroundings) -> str:
    """Of the table that was written last."""
    return RouteTable.from_json((around.run / "routes.json").read_bytes()).digest()


def hear(gateway: Gateway, sequence: int, table: str, *refused: ModelAddress) -> None:
    told = tuple(RefusedRoute(namespace=each.namespace, name=each.name, reason="no such thing") for each in refused)
    gateway.hear(DemandLine(gateway="g", sequence=sequence, routes=table, refused=told).to_json().encode())


async def test_a_model_whose_new_route_is_refused_is_still_where_it_was_and_the_others_are_where_they_should_be(
    around: Surroundings,
) -> None:
    gateway = Gateway(around, 0, 0, 45.0)
    gateway.set_routes(routes(OLD))
    assert gateway.acknowledged() is None
    hear(gateway, 1, digest(around))
    assert gateway.acknowledged() == routes(OLD)

    gateway.set_routes(routes(NEW))
    assert gateway.acknowledged() == routes(OLD)
    for sequence in (2, 3):
        hear(gateway, sequence, digest(around), DIGITS)
        assert gateway.acknowledged() == (routes(OLD)[0], routes(NEW)[1])

    hear(gateway, 4, digest(around))
    assert gateway.acknowledged() == routes(NEW)
