from dataclasses import dataclass, field

from hypothesis import given
from hypothesis import strategies as st

from forebay_gateway.demand import Attempts, Ledger, attempts_of
from forebay_gateway.xds.names import ClusterName
from forebay_schema.addresses import ModelAddress

A = ModelAddress(namespace="default", name="a")
H = ClusterName("h", A)
G = ClusterName("g", A)


def arrivals(ledger: Ledger, at_holder: int = 0) -> int:
    [model] = ledger.demand({A: 0}, {A: at_holder})
    return model.arrivals


def test_requests_are_attempts_that_are_no_retries() -> None:
    ledger = Ledger()
    ledger.take_attempts({H: Attempts(attempts=10, retries=3), G: Attempts(attempts=4, failed=2, retries=2)}, {})
    assert arrivals(ledger) == 7 + 4


def test_a_request_at_the_holder_counts_at_once_and_only_once() -> None:
    ledger = Ledger()
    assert arrivals(ledger, at_holder=1) == 1
    ledger.take_attempts({H: Attempts(attempts=1)}, {A: 1})
    assert arrivals(ledger, at_holder=1) == 1
    assert arrivals(ledger, at_holder=3) == 3


def test_what_an_adopted_envoy_had_counted_before_is_not_ours() -> None:
    ledger = Ledger()
    ledger.start_with({H: Attempts(attempts=100, retries=7)})
    ledger.take_attempts({H: Attempts(attempts=103, retries=8)}, {})
    assert arrivals(ledger) == 2


def test_a_new_envoy_counts_from_zero() -> None:
    ledger = Ledger()
    ledger.take_attempts({H: Attempts(attempts=10)}, {})
    ledger.start_with({})
    ledger.take_attempts({H: Attempts(attempts=12)}, {})
    assert arrivals(ledger) == 22


def test_a_cluster_that_was_made_again_counts_from_zero() -> None:
    ledger = Ledger()
    ledger.take_attempts({H: Attempts(attempts=10)}, {})
    ledger.take_attempts({}, {})
    ledger.take_attempts({H: Attempts(attempts=2)}, {})
    assert arrivals(ledger) == 12


def test_arrivals_never_fall_while_a_retry_is_due() -> None:
    ledger = Ledger()
    ledger.take_attempts({H: Attempts(attempts=5)}, {})
    assert arrivals(ledger) == 5
    ledger.take_attempts({H: Attempts(attempts=5, retries=3)}, {})
    assert arrivals(ledger) == 5
    ledger.take_attempts({H: Attempts(attempts=8, retries=3)}, {})
    assert arrivals(ledger) == 5
    ledger.take_attempts({H: Attempts(attempts=9, retries=3)}, {})
    assert arrivals(ledger) == 6


def test_a_deleted_model_is_forgotten_also_while_its_cluster_stays() -> None:
    ledger = Ledger()
    ledger.keep({A})
    ledger.take_attempts({H: Attempts(attempts=5)}, {A: 2})
    assert arrivals(ledger, at_holder=2) == 5
    ledger.keep(set())
    assert ledger.demand({}, {}) == ()
    ledger.take_attempts({H: Attempts(attempts=6)}, {})
    assert ledger.demand({}, {}) == ()


def test_a_model_that_comes_back_counts_from_zero() -> None:
    ledger = Ledger()
    ledger.keep({A})
    ledger.take_attempts({H: Attempts(attempts=5)}, {A: 2})
    ledger.keep(set())
    ledger.keep({A})
    assert arrivals(ledger, at_holder=1) == 1
    ledger.take_attempts({H: Attempts(attempts=7)}, {A: 1})
    assert arrivals(ledger, at_holder=1) == 2


def test_only_models_with_anything_to_report_are_named() -> None:
    ledger = Ledger()
    assert ledger.demand({}, {}) == ()
    ledger.take_in_flight({A: 0})
    assert ledger.demand({}, {}) == ()
    ledger.take_in_flight({A: 2})
    assert [(model.name, model.in_flight) for model in ledger.demand({}, {})] == [("a", 2)]


def test_the_counters_of_all_a_model_s_clusters_are_found_in_envoy_s_statistics() -> None:
    statistics = {
        "cluster.h/default/a.upstream_rq_total": 5,
        "cluster.h/default/a.upstream_rq_retry": 1,
        "cluster.h/default/a/2.upstream_rq_pending_failure_eject": 2,
        "cluster.holder-http.upstream_rq_total": 9,
        "cluster.h/default/a.upstream_rq_active": 9,
        "http.http.downstream_rq_total": 9,
    }
    assert attempts_of(statistics) == {H: Attempts(attempts=5, retries=1), ClusterName("h", A, 2): Attempts(failed=2)}


@dataclass
class Twin:
    """Envoy and the holder as they count one model's requests."""

    requests: int = 0
    counters: Attempts = field(default_factory=Attempts)
    first_at_holder: int = 0

    def request(self, path: str) -> None:
        """A request whose attempts go to a replica (R), to one that cannot be reached (F), or to the holder (H)."""
        self.requests += 1
        self.first_at_holder += path.startswith("H")
        failed = path.count("F")
        before = self.counters
        self.counters = Attempts(
            attempts=before.attempts + len(path) - failed,
            failed=before.failed + failed,
            retries=before.retries + len(path) - 1,
        )


@given(st.lists(st.one_of(st.text("RFH", min_size=1, max_size=6), st.just("read"))))
def test_each_request_counts_once_whatever_way_it_takes(events: list[str]) -> None:
    twin, ledger, before = Twin(), Ledger(), 0
    for event in events:
        if event == "read":
            ledger.take_attempts({H: twin.counters}, {A: twin.first_at_holder})
            assert arrivals(ledger, twin.first_at_holder) == twin.requests
        else:
            twin.request(event)
        now = arrivals(ledger, twin.first_at_holder)
        assert before <= now <= twin.requests
        before = now
