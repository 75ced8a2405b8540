from forebay_operator.domain.deployment import Autoscaling
from forebay_operator.domain.routes import RouteState
from forebay_operator.worlds.simulated.moment import Moment
from forebay_operator.worlds.simulated.steadiness import LONGEST_HOLD_S, Steadiness
from simulation_builders import a_route, a_spec
from simulation_moments import A, a_deployment, a_holding, a_moment, a_seen_server, a_status

HELD = a_route(state=RouteState.HELD)
READY = (a_seen_server("a", a_holding()),)


def at(seconds: float, wanted: int, *, held: bool = False) -> Moment:
    spec = a_spec(autoscaling=Autoscaling())
    return a_moment(
        deployment=a_deployment(spec, a_status(1, wanted=wanted)),
        servers=READY,
        routes=(HELD if held else a_route(A),),
        seconds=seconds,
    )


def found(*moments: Moment) -> list[str]:
    steadiness = Steadiness(steady_from=100.0, steady_until=200.0)
    return [violation.rule for moment in moments for violation in steadiness.check(moment)]


def test_requests_do_not_wait_for_long_while_replicas_are_ready() -> None:
    assert not found(at(0.0, 1, held=True), at(LONGEST_HOLD_S, 1, held=True), at(LONGEST_HOLD_S + 1.0, 1))
    assert found(at(0.0, 1, held=True), at(LONGEST_HOLD_S + 1.0, 1, held=True)) == ["3 held"]


def test_a_model_at_zero_may_keep_what_is_about_to_go() -> None:
    assert not found(at(0.0, 0, held=True), at(100.0, 0, held=True))


def test_even_load_does_not_raise_what_it_let_go() -> None:
    assert found(at(110.0, 3), at(120.0, 2), at(130.0, 3)) == ["8 flapping"]


def test_even_load_may_raise_then_lower_and_changing_load_may_do_both() -> None:
    assert not found(at(110.0, 2), at(120.0, 3), at(130.0, 2))
    assert not found(at(10.0, 3), at(20.0, 2), at(30.0, 3))
    assert not found(at(80.0, 3), at(90.0, 2), at(110.0, 3))
