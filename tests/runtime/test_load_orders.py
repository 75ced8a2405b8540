"""The controller's orders: load and unload by artifact, in explicit mode."""

import json
import uuid
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from forebay_schema.headers import REPOSITORY_TOKEN
from forebay_schema.repository import LoadOrder, UnloadOrder
from forebay_schema.serving import ServingConfig
from runtime_models import MIB, add_model, put_artifact
from runtime_servers import Answer, Server, requests_in_background, running_server, wait_for

ONES = {"inputs": [{"name": "x", "datatype": "FP32", "shape": [1, 16], "data": [1.0] * 16}]}


@pytest.fixture(scope="module")
def shared_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """20 MiB of simulated device memory."""
    folder = tmp_path_factory.mktemp("orders")
    arguments = ("--model-control-mode", "explicit", "--device", "simulated:20Mi", "--scratch", str(folder / "scratch"))
    with running_server(folder / "run", *arguments) as running:
        yield running


@pytest.fixture
def explicit(shared_server: Server) -> Iterator[Server]:
    """The server with nothing loaded, before and after."""
    yield shared_server
    for name, _ in shared_server.index():
        shared_server.request("POST", f"/v2/repository/models/{name}/unload")


@pytest.fixture
def m() -> str:
    """A model's name that no other test has used."""
    return f"m{uuid.uuid4().hex}"


def states(server: Server, *models: str) -> dict[tuple[str, str], str]:
    """The index, of these models only."""
    return {key: state for key, state in server.index().items() if key[0] in models}


@pytest.fixture
def store(tmp_path: Path) -> Path:
    return tmp_path / "store"


def order(
    store: Path, version: int, sequence: int, *, constant: float = 1.0, memory: int = 8 * MIB, limit: int = 0
) -> LoadOrder:
    uri, digest = put_artifact(store, add_model(constant), memory)
    return LoadOrder(
        forebay_artifact=uri,
        forebay_digest=digest,
        forebay_version=version,
        forebay_memory_limit=limit,
        forebay_sequence=sequence,
    )


def first_value(answer: Answer) -> float:
    assert answer.status == 200, answer.body
    return float(answer.json["outputs"][0]["data"][0])


def test_a_loaded_artifact_answers_under_its_version(explicit: Server, m: str, store: Path) -> None:
    assert explicit.load(m, order(store, 3, 1, constant=5.0)).status == 200
    assert states(explicit, m) == {(m, "3"): "READY"}
    answer = explicit.infer_json(m, ONES)
    assert first_value(answer) == 6.0
    assert answer.json["model_version"] == "3"


def test_versions_live_side_by_side_each_with_its_own_configuration(explicit: Server, m: str, store: Path) -> None:
    explicit.load(m, order(store, 1, 1, constant=1.0), ServingConfig(max_batch_size=4))
    explicit.load(m, order(store, 2, 2, constant=2.0), ServingConfig(max_batch_size=16, max_queue_delay_us=100))
    assert first_value(explicit.infer_json(m, ONES, {"forebay-version": "1"})) == 2.0
    assert first_value(explicit.infer_json(m, ONES, {"forebay-version": "2"})) == 3.0
    assert explicit.request("GET", f"/v2/models/{m}/versions/1/config").json["max_batch_size"] == 4
    second = explicit.request("GET", f"/v2/models/{m}/versions/2/config").json
    assert (second["max_batch_size"], second["dynamic_batching"]["max_queue_delay_microseconds"]) == (16, 100)


def test_the_same_order_again_changes_nothing(explicit: Server, m: str, store: Path) -> None:
    explicit.load(m, order(store, 1, 1))
    explicit.infer_json(m, ONES)
    assert explicit.load(m, order(store, 1, 2)).status == 200
    assert explicit.metric("nv_inference_count", model=m, version="1") == 1


def test_an_older_order_that_arrives_late_is_answered_and_ignored(explicit: Server, m: str, store: Path) -> None:
    explicit.load(m, order(store, 1, 5))
    assert explicit.unload(m, UnloadOrder(forebay_version=1, forebay_sequence=4)).status == 200
    assert states(explicit, m) == {(m, "1"): "READY"}
    assert explicit.unload(m, UnloadOrder(forebay_version=1, forebay_sequence=6)).status == 200
    assert explicit.load(m, order(store, 1, 5)).status == 200
    assert states(explicit, m) == {(m, "1"): "UNAVAILABLE"}


def test_an_unload_order_about_a_load_that_failed_is_obeyed_the_failure_is_told_no_more(
    explicit: Server, m: str, store: Path
) -> None:
    assert explicit.load(m, order(store, 1, 1, memory=64 * MIB)).status == 400

    assert explicit.unload(m, UnloadOrder(forebay_version=1, forebay_sequence=2)).status == 200

    rows = explicit.request("POST", "/v2/repository/index").json
    assert [(row["state"], row["reason"]) for row in rows if row["name"] == m] == [("UNAVAILABLE", "unloaded")]


def test_unloading_one_version_leaves_the_others(explicit: Server, m: str, store: Path) -> None:
    explicit.load(m, order(store, 1, 1))
    explicit.load(m, order(store, 2, 2, constant=2.0))
    explicit.unload(m, UnloadOrder(forebay_version=1, forebay_sequence=3))
    assert states(explicit, m) == {(m, "1"): "UNAVAILABLE", (m, "2"): "READY"}
    assert first_value(explicit.infer_json(m, ONES)) == 3.0


def test_unloading_what_was_never_loaded_is_no_error(explicit: Server, m: str) -> None:
    assert explicit.unload(m, UnloadOrder(forebay_version=1, forebay_sequence=1)).status == 200


def test_a_load_that_passes_the_devices_memory_is_refused_with_numbers(explicit: Server, m: str, store: Path) -> None:
    assert explicit.load(f"{m}-a", order(store, 1, 1, memory=12 * MIB)).status == 200
    refused = explicit.load(f"{m}-b", order(store, 1, 1, memory=12 * MIB, constant=2.0))
    assert refused.status == 400
    assert "it takes 12.0 MiB of device memory, 8.0 MiB of 20.0 MiB are free" in refused.json["error"]
    assert states(explicit, f"{m}-a", f"{m}-b") == {(f"{m}-a", "1"): "READY", (f"{m}-b", "1"): "UNAVAILABLE"}
    assert explicit.metric("forebay_model_refused_memory_bytes", model=f"{m}-b", version="1") == 12 * MIB
    explicit.unload(f"{m}-a", UnloadOrder(forebay_version=1, forebay_sequence=2))
    assert explicit.load(f"{m}-b", order(store, 1, 2, memory=12 * MIB, constant=2.0)).status == 200
    with pytest.raises(AssertionError, match="no forebay_model_refused_memory_bytes"):
        explicit.metric("forebay_model_refused_memory_bytes", model=f"{m}-b", version="1")


def test_a_load_that_passes_its_own_limit_is_refused_with_numbers(explicit: Server, m: str, store: Path) -> None:
    refused = explicit.load(m, order(store, 1, 1, memory=12 * MIB, limit=4 * MIB))
    assert (refused.status, "its own limit is 4.0 MiB" in refused.json["error"]) == (400, True)


def test_the_estimate_is_the_footprint_of_a_simulated_device(explicit: Server, m: str, store: Path) -> None:
    explicit.load(m, order(store, 1, 1, memory=7 * MIB), ServingConfig(max_batch_size=32))
    assert explicit.metric("forebay_model_memory_bytes", model=m, version="1") == 7 * MIB
    assert explicit.metric("forebay_device_memory_total_bytes", kind="simulated") == 20 * MIB


def test_an_artifact_that_is_not_what_was_ordered_is_refused(explicit: Server, m: str, store: Path) -> None:
    wrong = order(store, 1, 1).model_copy(update={"forebay_digest": "0" * 64})
    refused = explicit.load(m, wrong)
    assert (refused.status, "ordered was 000" in refused.json["error"]) == (400, True)


def test_a_damaged_model_file_is_refused_and_the_mended_one_loads(explicit: Server, m: str, store: Path) -> None:
    good = order(store, 1, 1, constant=91.0)
    model = Path(good.forebay_artifact) / "model.onnx"
    content = model.read_bytes()
    model.write_bytes(content[:-1] + b"?")
    refused = explicit.load(m, good)
    assert (refused.status, "its manifest says" in refused.json["error"]) == (400, True)
    model.write_bytes(content)
    assert explicit.load(m, good.model_copy(update={"forebay_sequence": 2})).status == 200


def test_an_artifact_that_is_not_there_is_refused(explicit: Server, m: str, store: Path) -> None:
    missing = order(store, 1, 1, constant=92.0).model_copy(update={"forebay_artifact": str(store / "nowhere")})
    refused = explicit.load(m, missing)
    assert (refused.status, "cannot be fetched" in refused.json["error"]) == (400, True)


@pytest.mark.parametrize(
    ("parameters", "part"),
    [
        pytest.param({"forebay_version": 1}, "forebay_artifact: Field required", id="incomplete"),
        pytest.param({"forebay_version": 0, "forebay_sequence": 1}, "forebay_version", id="version zero"),
    ],
)
def test_orders_that_are_not_right_are_refused_by_field(
    explicit: Server, m: str, parameters: dict[str, int], part: str
) -> None:
    answer = explicit.request("POST", f"/v2/repository/models/{m}/load", json.dumps({"parameters": parameters}))
    assert (answer.status, part in answer.json["error"]) == (400, True)


def test_a_provider_that_the_device_cannot_be_is_refused(explicit: Server, m: str, store: Path) -> None:
    refused = explicit.load(m, order(store, 1, 1), ServingConfig(provider="cuda"))
    assert (refused.status, "asks for provider cuda" in refused.json["error"]) == (400, True)


def test_a_full_queue_is_tritons_refusal_and_the_gateways_retry(tmp_path: Path, store: Path) -> None:
    arguments = ("--model-control-mode", "explicit", "--device", "simulated:20Mi,pace=60s")
    with running_server(tmp_path / "run", *arguments) as stuck:
        stuck.load("m", order(store, 1, 1), ServingConfig(max_batch_size=1, max_queue_size=1))
        with ExitStack() as stack:
            stack.enter_context(requests_in_background(stuck, "m", ONES))
            wait_for(lambda: stuck.metric("forebay_model_executing", model="m") == 1, "one executes")
            stack.enter_context(requests_in_background(stuck, "m", ONES))
            wait_for(lambda: stuck.metric("nv_inference_pending_request_count", model="m") == 1, "one waits")
            refused = stuck.infer_json("m", ONES)
            retried = stuck.infer_json("m", ONES, {"forebay-version": "1"})
            stuck.process.kill()
    assert (refused.status, refused.json["error"]) == (503, "[request id: <id_unknown>] Exceeds maximum queue size")
    assert "x-forebay-retry" not in refused.headers
    assert (retried.status, retried.headers["x-forebay-retry"]) == (503, "queue-full")


def test_a_replaced_version_counts_as_long_as_it_answers(tmp_path: Path, store: Path) -> None:
    arguments = ("--model-control-mode", "explicit", "--device", "simulated:20Mi,pace=60s")
    with running_server(tmp_path / "run", *arguments) as stuck:
        stuck.load("m", order(store, 1, 1))
        with requests_in_background(stuck, "m", ONES):
            wait_for(lambda: stuck.metric("forebay_model_executing", model="m") == 1, "one executes")
            assert stuck.load("m", order(store, 1, 2, constant=2.0)).status == 200
            refused = stuck.load("other", order(store, 1, 1))
            stuck.process.kill()
    assert (refused.status, "4.0 MiB of 20.0 MiB are free" in refused.json["error"]) == (400, True)


def test_a_server_ends_after_the_answers_of_a_version_that_was_replaced(tmp_path: Path, store: Path) -> None:
    arguments = ("--model-control-mode", "explicit", "--device", "simulated:20Mi,pace=3s")
    with running_server(tmp_path / "run", *arguments) as slow:
        slow.load("m", order(store, 1, 1))
        with requests_in_background(slow, "m", ONES) as answers:
            wait_for(lambda: slow.metric("forebay_model_executing", model="m") == 1, "one executes")
            assert slow.load("m", order(store, 1, 2, constant=2.0)).status == 200
            assert slow.terminate() == 0
    assert [first_value(answer) for answer in answers] == [2.0]


def test_a_restarted_server_loads_what_it_was_told_to_hold(tmp_path: Path, store: Path) -> None:
    arguments = ("--model-control-mode", "explicit", "--scratch", str(tmp_path / "scratch"), "--device", "simulated:64Mi")
    with running_server(tmp_path / "run", *arguments) as first:
        first.load("kept", order(store, 2, 7, constant=4.0))
        first.load("gone", order(store, 1, 8))
        first.unload("gone", UnloadOrder(forebay_version=1, forebay_sequence=9))
        first.process.kill()
    with running_server(tmp_path / "run", *arguments) as second:
        wait_for(lambda: second.index() == {("kept", "2"): "READY"}, "the held version is loaded again")
        assert first_value(second.infer_json("kept", ONES)) == 5.0
        assert second.load("gone", order(store, 1, 8)).status == 200
        assert ("gone", "1") not in second.index()


def test_a_batch_larger_than_the_devices_memory_is_refused_before_it_is_tried(explicit: Server, store: Path, m: str) -> None:
    refused = explicit.load(m, order(store, 1, 1), ServingConfig(max_batch_size=2**31 - 1))
    assert refused.status == 400
    assert "1 batches of 2147483647 rows are too large: it takes 262144.0 MiB of device memory" in refused.json["error"]
    assert "lower max_batch_size" in refused.json["error"]
    assert explicit.load(m, order(store, 1, 2), ServingConfig(max_batch_size=8)).status == 200


def test_repository_control_needs_the_token_and_inference_does_not(tmp_path: Path, store: Path) -> None:
    token = tmp_path / "token"
    token.write_text("secret\n")
    arguments = ("--model-control-mode", "explicit", "--repository-token-file", str(token))
    with running_server(tmp_path / "run", *arguments) as guarded:
        refused = guarded.load("m", order(store, 1, 1))
        assert (refused.status, refused.json["error"]) == (
            403,
            f"This API is restricted, expecting header '{REPOSITORY_TOKEN}'",
        )
        assert guarded.load("m", order(store, 1, 1), headers={REPOSITORY_TOKEN: "wrong"}).status == 403
        assert guarded.load("m", order(store, 1, 1), headers={REPOSITORY_TOKEN: "secret"}).status == 200
        assert guarded.infer_json("m", ONES).status == 200
        assert guarded.index() == {("m", "1"): "READY"}
        assert guarded.unload("m", UnloadOrder(forebay_version=1, forebay_sequence=2)).status == 403

        token.write_text("another\n")
        renewed = {REPOSITORY_TOKEN: "another"}
        leave = UnloadOrder(forebay_version=1, forebay_sequence=3)
        wait_for(lambda: guarded.unload("m", leave, headers=renewed).status == 200, "the token that took its place opens")
        assert guarded.unload("m", leave, headers={REPOSITORY_TOKEN: "secret"}).status == 403


def test_plain_triton_calls_load_and_unload_from_the_repository(model_repository: Path, tmp_path: Path) -> None:
    arguments = ("--model-control-mode", "explicit", "--model-repository", str(model_repository), "--load-model", "two")
    with running_server(tmp_path / "run", *arguments) as running:
        wait_for(lambda: running.index().get(("two", "1")) == "READY", "the model of the command line is loaded")
        assert running.index()[("add", "")] == ""
        config = json.dumps({"max_batch_size": 2, "version_policy": {"all": {}}})
        body = json.dumps({"parameters": {"config": config}})
        assert running.request("POST", "/v2/repository/models/add/load", body).status == 200
        assert running.index()[("add", "1")] == running.index()[("add", "2")] == "READY"
        assert running.request("GET", "/v2/models/add/config").json["max_batch_size"] == 2
        assert running.request("POST", "/v2/repository/models/add/unload").status == 200
        assert running.request("GET", "/v2/models/add/ready").status == 400
        assert running.request("POST", "/v2/repository/models/add/load").status == 200
        assert running.request("GET", "/v2/models/add/config").json["max_batch_size"] == 8
        unknown = running.request("POST", "/v2/repository/models/nothing/load")
        assert (unknown.status, unknown.json["error"]) == (
            500,
            "failed to load 'nothing', failed to poll from model repository",
        )


def test_without_explicit_mode_orders_are_refused(server: Server) -> None:
    refused = server.request("POST", "/v2/repository/models/add/load")
    assert (refused.status, refused.json["error"]) == (
        503,
        "explicit model load / unload is not allowed if polling is enabled",
    )
