import pytest
from hypothesis import given
from hypothesis import strategies as st

from forebay_gateway.holder.queue import Held, HoldQueue
from forebay_schema.addresses import ModelAddress
from forebay_schema.routes import HoldLimits

DIGITS = ModelAddress(namespace="team-a", name="digits")
OTHER = ModelAddress(namespace="team-b", name="digits")
ROOMY = HoldLimits(requests=1000, bytes=10**9)


def held(label: str = "", size: int = 1, deadline: float = 10.0, address: ModelAddress = DIGITS) -> Held[str]:
    return Held(address, size, deadline, label)


def queue_of(*requests: Held[str], limits: HoldLimits = ROOMY) -> HoldQueue[str]:
    queue = HoldQueue[str]()
    for request in requests:
        assert queue.admit(request, limits) is None
    return queue


def labels(requests: list[Held[str]]) -> str:
    return "".join(request.exchange for request in requests)


def test_requests_are_taken_in_the_order_in_which_they_came() -> None:
    queue = queue_of(held("a"), held("b"), held("c"))
    assert labels(queue.take(DIGITS, 2)) == "ab"
    assert labels(queue.take(DIGITS, 2)) == "c"
    assert queue.addresses() == []


def test_models_wait_apart_from_each_other() -> None:
    queue = queue_of(held("a"), held("b", address=OTHER))
    assert (queue.count(DIGITS), queue.count(OTHER), len(queue)) == (1, 1, 2)
    assert labels(queue.take(OTHER, 9)) == "b"
    assert queue.count(DIGITS) == 1


def test_the_request_over_the_limit_in_count_is_refused() -> None:
    limits = HoldLimits(requests=2)
    queue = queue_of(held(), held(), limits=limits)
    refusal = queue.admit(held(), limits)
    assert refusal
    assert refusal.error == "model 'digits': 2 requests are waiting for a replica already"
    assert queue.count(DIGITS) == 2


def test_what_may_wait_for_all_models_together_is_limited_too() -> None:
    queue = HoldQueue[str](most_requests=2, most_bytes=100)
    first = held(size=60)
    assert queue.admit(first, ROOMY) is None
    assert queue.admit(held(size=30, address=OTHER), ROOMY) is None
    for request in (held(size=0), held(size=0, address=OTHER)):
        refusal = queue.admit(request, ROOMY)
        assert refusal
        assert "as many requests wait for models as may at all" in refusal.error
    assert queue.leave(first)
    assert queue.admit(held(size=71), ROOMY), "30 of 100 bytes are taken"
    late = held(size=0)
    assert queue.admit(late, ROOMY) is None
    assert queue.resize(late, 71, ROOMY)
    assert queue.leave(late)
    assert queue.admit(held(size=70), ROOMY) is None


def test_the_request_over_the_limit_in_bytes_is_refused_and_a_smaller_one_is_not() -> None:
    limits = HoldLimits(bytes=100)
    queue = queue_of(held(size=60), limits=limits)
    refusal = queue.admit(held(size=41), limits)
    assert refusal
    assert "with this request of 41 bytes" in refusal.error
    assert queue.admit(held(size=40), limits) is None
    assert queue.size(DIGITS) == 100


def test_a_request_that_left_makes_room() -> None:
    limits = HoldLimits(requests=1)
    first = held()
    queue = queue_of(first, limits=limits)
    assert queue.leave(first)
    assert not queue.leave(first)
    assert queue.admit(held(), limits) is None


def test_a_request_is_charged_what_it_turned_out_to_have() -> None:
    limits = HoldLimits(bytes=100)
    request = held(size=90)
    queue = queue_of(request, limits=limits)
    assert queue.resize(request, 10, limits) is None
    assert queue.size(DIGITS) == 10
    assert queue.resize(request, 101, limits)
    queue.leave(request)
    assert queue.resize(request, 5, limits) is None
    assert queue.size(DIGITS) == 0


def test_requests_expire_in_the_order_of_their_deadlines() -> None:
    queue = queue_of(held("late", deadline=30), held("early", deadline=10), held("middle", deadline=20, address=OTHER))
    assert labels(list(queue.expired(5))) == ""
    assert labels(list(queue.expired(20))) == "earlymiddle"
    assert queue.count(DIGITS) == 1


def test_a_request_that_left_does_not_expire() -> None:
    request = held()
    queue = queue_of(request)
    queue.leave(request)
    assert list(queue.expired(100)) == []


def test_many_requests_that_leave_early_are_forgotten() -> None:
    queue = HoldQueue[str]()
    for _ in range(5000):
        request = held(deadline=1e9)
        queue.admit(request, ROOMY)
        queue.leave(request)
    stays = held("x", deadline=1e9)
    queue.admit(stays, ROOMY)
    assert list(queue.expired(0)) == []
    assert labels(list(queue.expired(1e9))) == "x"


@given(
    st.lists(
        st.tuples(st.sampled_from(["admit", "leave", "take", "resize", "expire"]), st.integers(0, 5), st.integers(0, 40)),
        max_size=60,
    )
)
def test_the_bytes_charged_are_always_those_of_the_waiting_requests(steps: list[tuple[str, int, int]]) -> None:
    limits = HoldLimits(requests=4, bytes=100)
    queue, known = HoldQueue[str](), list[Held[str]]()
    for step, which, size in steps:
        request = known[which] if which < len(known) else held(size=size, deadline=float(which))
        match step:
            case "admit" if request not in known:
                if queue.admit(request, limits) is None:
                    known.append(request)
            case "leave":
                queue.leave(request)
            case "take":
                queue.take(DIGITS, which)
            case "resize":
                if queue.resize(request, size, limits):
                    queue.leave(request)
            case _:
                list(queue.expired(float(which)))
        waiting = [request for request in known if request in queue]
        assert queue.count(DIGITS) == len(waiting) <= limits.requests
        assert queue.size(DIGITS) == sum(request.size for request in waiting) <= limits.bytes


@pytest.mark.parametrize("count", [0, 1, 3, 10])
def test_never_more_than_asked_for_are_taken(count: int) -> None:
    queue = queue_of(*(held() for _ in range(3)))
    assert len(queue.take(DIGITS, count)) == min(count, 3)
