from dataclasses import replace

from forebay_operator.domain.deployment import Serving
from forebay_operator.domain.snapshot import Holding, HoldingPhase, ServerPhase
from forebay_operator.worlds.simulated.behaviour import ModelBehaviour
from forebay_operator.worlds.simulated.server import SimulatedServer
from forebay_schema.addresses import ModelAddress
from simulation_builders import DIGITS, GIB, Surroundings, a_load, a_request, a_server, an_unload


def holding_of(server: SimulatedServer, version: int = 1, model: str = "digits") -> Holding | None:
    server.read_page()
    return next((found for found in server.page if (found.model, found.version) == (model, version)), None)


def phase_of(server: SimulatedServer, version: int = 1, model: str = "digits") -> HoldingPhase | None:
    holding = holding_of(server, version, model)
    return holding.phase if holding else None


def test_a_replica_is_ready_and_measured_once_its_load_time_has_passed() -> None:
    server = a_server(Surroundings({"one": ModelBehaviour(load_s=3.0, footprint_bytes=5)}))
    server.load(a_load())
    server.timeline.advance(2.9)
    loading = holding_of(server)
    server.timeline.advance(3.0)
    ready = holding_of(server)
    assert loading is not None
    assert (loading.phase, loading.footprint_bytes) == (HoldingPhase.LOADING, None)
    assert ready is not None
    assert (ready.phase, ready.footprint_bytes) == (HoldingPhase.READY, 5)


def test_a_load_that_comes_twice_changes_nothing() -> None:
    server = a_server()
    server.load(a_load())
    server.timeline.advance(3.0)
    server.load(a_load())
    server.load(a_load(sequence=7))
    assert phase_of(server) is HoldingPhase.READY


def test_an_order_older_than_one_seen_is_ignored() -> None:
    server = a_server()
    server.load(a_load(sequence=5))
    server.unload(an_unload(sequence=4))
    assert phase_of(server) is HoldingPhase.LOADING


def test_loads_come_one_after_the_other_on_a_device() -> None:
    server = a_server()
    server.load(a_load(version=1))
    server.load(a_load(version=2, digest="two", sequence=2))
    server.timeline.advance(3.0)
    assert (phase_of(server, 1), phase_of(server, 2)) == (HoldingPhase.READY, HoldingPhase.LOADING)
    server.timeline.advance(6.0)
    assert phase_of(server, 2) is HoldingPhase.READY


def test_a_load_that_would_pass_the_device_is_refused_with_numbers() -> None:
    big = ModelBehaviour(footprint_bytes=9 * GIB)
    server = a_server(Surroundings({"one": big, "two": big}))
    server.load(a_load(version=1))
    server.load(a_load(version=2, digest="two", sequence=2))
    server.timeline.advance(6.0)
    refused = holding_of(server, 2)
    assert phase_of(server, 1) is HoldingPhase.READY
    assert refused is not None
    assert (refused.phase, refused.failed_at) == (HoldingPhase.FAILED, 6.0)
    assert refused.reason == f"needs {9 * GIB} bytes, {7 * GIB} of {16 * GIB} are free"


def test_a_load_that_passes_its_own_limit_is_refused() -> None:
    server = a_server(Surroundings({"one": ModelBehaviour(footprint_bytes=100)}))
    server.load(a_load(limit=99))
    server.timeline.advance(3.0)
    assert phase_of(server) is HoldingPhase.FAILED


def test_a_failed_load_is_tried_again_when_it_is_ordered_again() -> None:
    server = a_server(Surroundings(faults=["a fault"]))
    server.load(a_load())
    server.timeline.advance(3.0)
    assert phase_of(server) is HoldingPhase.FAILED
    server.load(a_load(sequence=2))
    server.timeline.advance(6.0)
    assert phase_of(server) is HoldingPhase.READY


def test_an_artifact_that_is_not_in_the_store_cannot_be_loaded() -> None:
    server = a_server()
    server.load(a_load(digest="nowhere"))
    assert phase_of(server) is HoldingPhase.FAILED


def test_requests_are_computed_in_batches_and_counted() -> None:
    surroundings = Surroundings({"one": ModelBehaviour(load_s=0.0, base_s=1.0, per_item_s=0.5)})
    server = a_server(surroundings)
    server.load(a_load())
    server.timeline.advance(0.0)
    assert all(server.offer(a_request(number), 1) for number in range(6))
    busy = holding_of(server)
    assert busy is not None
    assert (busy.waiting, busy.executing) == (5, 1)
    server.timeline.advance(1.5)
    assert surroundings.answers == [(0, 1)]
    server.timeline.advance(10.0)
    done = holding_of(server)
    assert done is not None
    # Batches of 1, 4 and 1 items.
    assert (done.completed, done.busy_seconds, done.waiting, done.executing) == (6, 6.0, 0, 0)


def test_instances_compute_side_by_side() -> None:
    surroundings = Surroundings({"one": ModelBehaviour(load_s=0.0, base_s=1.0, per_item_s=0.0)})
    server = a_server(surroundings)
    server.load(a_load(serving=Serving(max_batch_size=1, instances=2)))
    server.timeline.advance(0.0)
    for number in range(2):
        server.offer(a_request(number), 1)
    server.timeline.advance(1.0)
    assert len(surroundings.answers) == 2


def test_a_full_queue_and_a_version_that_is_not_ready_give_the_retry_answer() -> None:
    server = a_server()
    server.load(a_load(serving=Serving(max_batch_size=1, max_queue_size=1)))
    assert not server.offer(a_request(), 1)
    server.timeline.advance(3.0)
    assert not server.offer(a_request(), 2)
    assert [server.offer(a_request(number), 1) for number in range(3)] == [True, True, False]


def test_unloading_answers_what_is_inside_and_takes_nothing_new() -> None:
    surroundings = Surroundings({"one": ModelBehaviour(load_s=0.0, base_s=1.0, per_item_s=0.0)})
    server = a_server(surroundings)
    server.load(a_load())
    server.timeline.advance(0.0)
    server.offer(a_request(1), 1)
    server.offer(a_request(2), 1)
    server.unload(an_unload())
    assert phase_of(server) is HoldingPhase.UNLOADING
    assert not server.offer(a_request(3), 1)
    server.timeline.advance(2.0)
    assert surroundings.answers == [(1, 1), (2, 1)]
    assert phase_of(server) is None


def test_a_version_with_another_artifact_takes_the_place_of_the_old_one() -> None:
    server = a_server()
    server.load(a_load())
    server.timeline.advance(3.0)
    server.load(a_load(digest="two", sequence=2))
    server.timeline.advance(6.0)
    holding = holding_of(server)
    assert holding is not None
    assert (holding.digest, holding.phase) == ("two", HoldingPhase.READY)


def test_versions_and_models_live_side_by_side() -> None:
    server = a_server()
    server.load(a_load())
    server.load(a_load(address=ModelAddress("blue", "letters"), digest="two"))
    server.timeline.advance(6.0)
    assert phase_of(server, 1) is phase_of(server, 1, "letters") is HoldingPhase.READY


def test_a_draining_server_ends_once_its_requests_are_answered() -> None:
    surroundings = Surroundings({"one": ModelBehaviour(load_s=0.0, base_s=1.0, per_item_s=0.0)})
    server = a_server(surroundings)
    server.load(a_load())
    server.timeline.advance(0.0)
    server.offer(a_request(1), 1)
    server.drain()
    assert (server.phase, surroundings.ended) == (ServerPhase.DRAINING, [])
    assert not server.offer(a_request(2), 1)
    server.timeline.advance(1.0)
    assert (surroundings.answers, surroundings.ended) == ([(1, 1)], ["a"])


def test_a_stalled_server_goes_on_where_it_was() -> None:
    surroundings = Surroundings({"one": ModelBehaviour(load_s=0.0, base_s=1.0, per_item_s=0.0)})
    server = a_server(surroundings)
    server.load(a_load())
    server.timeline.advance(0.0)
    server.read_page()
    server.stalled_until = 10.0
    assert server.offer(a_request(1), 1)
    server.timeline.advance(9.0)
    server.read_page()
    assert (surroundings.answers, server.page_read_at) == ([], 0.0)
    server.timeline.advance(10.0)
    assert surroundings.answers == [(1, 1)]


def test_a_killed_server_names_the_requests_that_end_with_it_and_does_nothing_more() -> None:
    surroundings = Surroundings({"one": ModelBehaviour(load_s=0.0)})
    server = a_server(surroundings)
    server.load(a_load())
    server.timeline.advance(0.0)
    for number in range(3):
        server.offer(a_request(number), 1)
    assert sorted(request.number for request in server.kill()) == [0, 1, 2]
    server.timeline.advance(60.0)
    assert surroundings.answers == []
    assert not server.offer(a_request(4), 1)


def test_missing_metrics_are_unknown_while_the_index_is_known() -> None:
    server = a_server()
    server.load(a_load())
    server.figures_missing_until = 10.0
    seen = holding_of(server)
    assert seen is not None
    assert (seen.phase, seen.waiting, seen.executing, seen.completed) == (HoldingPhase.LOADING, None, None, None)


def test_the_footprint_that_counts_is_the_real_one() -> None:
    server = a_server(Surroundings({"one": ModelBehaviour(estimate_bytes=1, footprint_bytes=7)}))
    server.load(replace(a_load(), address=DIGITS))
    server.timeline.advance(3.0)
    assert server.used_bytes == 7
