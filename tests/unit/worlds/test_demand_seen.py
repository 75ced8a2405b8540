from hypothesis import given
from hypothesis import strategies as st

from forebay_operator.worlds.demand import DemandSeen
from forebay_schema.addresses import ModelAddress
from forebay_schema.demand import DemandLine, ModelDemand

DIGITS = ModelAddress("default", "digits")


def a_line(sequence: int, gateway: str = "g1", **figures: int) -> DemandLine:
    models = (ModelDemand(namespace="default", name="digits", **figures),) if figures else ()
    return DemandLine(gateway=gateway, sequence=sequence, models=models)


def test_arrivals_go_on_where_they_were_when_the_gateway_is_replaced() -> None:
    seen = DemandSeen().after(a_line(1, arrivals=7)).after(a_line(1, gateway="g2", arrivals=2))

    assert seen.demand[DIGITS].arrivals == 9


def test_a_model_that_a_line_leaves_out_has_nothing_held_or_in_flight_and_keeps_its_arrivals() -> None:
    seen = DemandSeen().after(a_line(1, held=3, in_flight=2, arrivals=5)).after(a_line(2))

    assert (seen.demand[DIGITS].held, seen.demand[DIGITS].in_flight, seen.demand[DIGITS].arrivals) == (0, 0, 5)


def test_a_line_that_comes_late_is_ignored() -> None:
    seen = DemandSeen().after(a_line(5, held=1, arrivals=5))

    assert seen.after(a_line(4, held=9, arrivals=4)) == seen


def test_the_first_held_request_is_told_from_those_that_follow() -> None:
    idle = DemandSeen().after(a_line(1, arrivals=1))
    first = idle.after(a_line(2, held=1, arrivals=2))
    more = first.after(a_line(3, held=2, arrivals=3))

    assert (first.newly_held(DemandSeen()), first.newly_held(idle), more.newly_held(first)) == (True, True, False)


@given(st.lists(st.tuples(st.integers(0, 2), st.integers(0, 50)), max_size=30))
def test_arrivals_never_fall(lines: list[tuple[int, int]]) -> None:
    seen, last, gateway, arrivals = DemandSeen(), 0, 0, 0
    for sequence, (restarts, more) in enumerate(lines):
        gateway, arrivals = gateway + restarts, more + (0 if restarts else arrivals)
        seen = seen.after(a_line(sequence, gateway=str(gateway), arrivals=arrivals))
        assert seen.demand[DIGITS].arrivals >= last
        last = seen.demand[DIGITS].arrivals


def test_a_deleted_model_is_forgotten_and_the_others_are_kept() -> None:
    models = (
        ModelDemand(namespace="default", name="digits", arrivals=7),
        ModelDemand(namespace="default", name="other", arrivals=3),
    )
    seen = DemandSeen().after(DemandLine(gateway="g0", sequence=1, models=models))
    seen = seen.after(DemandLine(gateway="g1", sequence=1, models=models))

    kept = seen.among({DIGITS})

    assert kept.demand == {DIGITS: seen.demand[DIGITS]}
    assert kept.after(DemandLine(gateway="g2", sequence=1)).demand.keys() == {DIGITS}


def test_arrivals_go_on_where_they_were_when_the_gateway_has_forgotten_the_model() -> None:
    seen = DemandSeen().after(a_line(1, arrivals=7)).after(a_line(2, arrivals=2)).after(a_line(3, arrivals=4))

    assert seen.demand[DIGITS].arrivals == 11
