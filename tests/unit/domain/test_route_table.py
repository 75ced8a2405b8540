from domain_builders import DIGITS, an_address
from forebay_operator.domain import routes
from forebay_operator.domain.routes import Endpoint, RouteState

A, B = Endpoint("10.0.0.1", 8000, 8001), Endpoint("10.0.0.2", 8000, 8001)


def test_all_requests_of_a_model_go_to_one_version_and_its_sorted_endpoints() -> None:
    route = routes.routed(DIGITS, 3, [B, A])
    assert route.state is RouteState.ROUTED
    assert [(each.version, each.weight, each.endpoints) for each in route.versions] == [(3, 100, (A, B))]


def test_a_model_that_is_held_or_stopped_has_no_versions() -> None:
    assert routes.held(DIGITS).versions == ()
    assert routes.stopped(DIGITS, "so").reason == "so"


def test_the_table_is_sorted_by_address() -> None:
    found = routes.table_of(
        [routes.held(an_address("b")), routes.held(an_address("z", "alpha")), routes.held(an_address("a"))]
    )
    assert [str(route.address) for route in found] == ["alpha/z", "default/a", "default/b"]


def test_what_a_table_names_is_found_by_model() -> None:
    found = routes.named([routes.routed(DIGITS, 3, [A, B]), routes.held(an_address("other"))])
    assert found == {DIGITS: frozenset({(3, A), (3, B)})}
