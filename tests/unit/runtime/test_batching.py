from dataclasses import dataclass

import pytest
from hypothesis import given
from hypothesis import strategies as st

from forebay_runtime.domain.batching import BatchPolicy, Run, Sleep, next_batch


@dataclass(frozen=True)
class Request:
    rows: int = 1
    shape: str = "a"
    enqueued_ns: int = 0


def queue(*rows: int, shape: str = "a", enqueued_ns: int = 0) -> list[Request]:
    return [Request(count, shape, enqueued_ns) for count in rows]


@pytest.mark.parametrize(
    ("policy", "waiting", "now_ns", "decision"),
    [
        pytest.param(BatchPolicy(8), [], 0, Sleep(None), id="nothing waits"),
        pytest.param(BatchPolicy(8), queue(1), 0, Run(1), id="no delay: at once"),
        pytest.param(BatchPolicy(8), queue(1, 2, 3), 0, Run(3), id="what waits joins"),
        pytest.param(BatchPolicy(4), queue(1, 2, 3), 0, Run(2), id="the next does not fit"),
        pytest.param(BatchPolicy(4), queue(4, 1), 0, Run(1), id="full"),
        pytest.param(BatchPolicy(1), queue(1, 1), 0, Run(1), id="no batching"),
        pytest.param(BatchPolicy(8), [*queue(1), *queue(1, shape="b")], 0, Run(1), id="another shape"),
        pytest.param(BatchPolicy(8, max_delay_ns=100), queue(1, 1), 99, Sleep(100), id="the delay is not over"),
        pytest.param(BatchPolicy(8, max_delay_ns=100), queue(1, 1), 100, Run(2), id="the delay is over"),
        pytest.param(BatchPolicy(2, max_delay_ns=100), queue(1, 1), 0, Run(2), id="full before the delay"),
        pytest.param(BatchPolicy(8, max_delay_ns=100), [*queue(1), *queue(1, shape="b")], 0, Run(1), id="no use in waiting"),
        pytest.param(BatchPolicy(8, frozenset({2, 4}), 100), queue(1), 0, Sleep(100), id="below the preferred sizes"),
        pytest.param(BatchPolicy(8, frozenset({2, 4}), 100), queue(1, 1, 1), 0, Run(2), id="a preferred size"),
        pytest.param(BatchPolicy(8, frozenset({2, 4}), 100), queue(1, 1, 1, 1, 1), 0, Run(4), id="the largest preferred"),
        pytest.param(BatchPolicy(8, frozenset({4}), 100), queue(1, 1, 1), 100, Run(3), id="late: without preference"),
    ],
)
def test_the_table_of_decisions(policy: BatchPolicy, waiting: list[Request], now_ns: int, decision: Run | Sleep) -> None:
    assert next_batch(policy, waiting, now_ns) == decision


requests = st.builds(Request, rows=st.integers(1, 4), shape=st.sampled_from("ab"), enqueued_ns=st.integers(0, 1000))
policies = st.builds(
    BatchPolicy,
    max_rows=st.integers(4, 16),
    preferred=st.frozensets(st.integers(1, 16), max_size=3),
    max_delay_ns=st.integers(0, 500),
)


@given(policies, st.lists(requests, max_size=20), st.integers(1000, 3000))
def test_a_batch_is_within_its_limits_and_of_one_shape(policy: BatchPolicy, waiting: list[Request], now_ns: int) -> None:
    decision = next_batch(policy, waiting, now_ns)
    if isinstance(decision, Run):
        batch = waiting[: decision.count]
        assert 1 <= decision.count <= len(waiting)
        assert sum(request.rows for request in batch) <= policy.max_rows
        assert len({request.shape for request in batch}) == 1


@given(policies, st.lists(requests, min_size=1, max_size=20), st.integers(1000, 3000))
def test_nothing_waits_longer_than_the_delay(policy: BatchPolicy, waiting: list[Request], now_ns: int) -> None:
    decision = next_batch(policy, waiting, now_ns)
    if isinstance(decision, Sleep):
        assert decision.until_ns == waiting[0].enqueued_ns + policy.max_delay_ns
        assert waiting[0].enqueued_ns + policy.max_delay_ns > now_ns
