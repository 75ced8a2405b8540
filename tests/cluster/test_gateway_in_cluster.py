"""From a ModelDeployment to answered requests: the real operator, gateways, Envoys and servers on a real API server."""

import threading
from collections.abc import Generator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import pytest

from cluster_api import Json, eventually
from cluster_control_plane import ControlPlane
from cluster_gateway import HOLD_S, ClusterGateway, account, gateway, grant, remove_pod
from cluster_site import Site
from gateway_clients import INFER, ask
from gateway_processes import Backend

pytestmark = pytest.mark.timeout(3 * HOLD_S)

SETTINGS = {"serverIdleSeconds": 2, "serverStartSeconds": 300, "holdSeconds": HOLD_S}
FROM_ZERO = {"minReplicas": 0, "maxReplicas": 2, "idleTimeout": "3s"}
ASKED, ANSWERED = [1.0, 2.0, 3.0, 4.0], [3.0, 6.0, 9.0, 12.0]


@contextmanager
def steady_requests(gateway: ClusterGateway, model: str) -> Generator[list[list[float]]]:
    """One request after the other while the block runs; what was answered is complete behind it."""
    answers: list[list[float]] = []
    over = threading.Event()

    def keep_asking() -> None:
        while not over.is_set():
            answers.append(gateway.infer(model, ASKED))

    with ThreadPoolExecutor(1) as pool:
        asking = pool.submit(keep_asking)
        try:
            yield answers
        finally:
            over.set()
        asking.result(HOLD_S)


def test_requests_that_two_gateways_hold_at_zero_are_answered_and_an_idle_model_goes_back_to_zero(here: Site) -> None:
    kubelet = here.start_kubelet()
    one = here.exits.enter_context(gateway(here.access, here.namespace, "gateway-1"))
    two = here.exits.enter_context(gateway(here.access, here.namespace, "gateway-2"))
    here.start_operator(settings=SETTINGS)
    here.deploy("scaling", here.model_file(), autoscaling=FROM_ZERO)
    here.wait_for_summary("scaling", "Ready at zero", HOLD_S)
    assert not kubelet.pods("server")
    for each in (one, two):
        each.wait_until_ready()

    with ThreadPoolExecutor(4) as pool:
        calls = [pool.submit(each.infer, "scaling", ASKED) for each in (one, two, one, two)]
        assert [call.result(HOLD_S) for call in calls] == [ANSWERED] * 4
    with steady_requests(two, "scaling") as answers:
        one.kill()
        remove_pod(here.api, here.namespace, "gateway-1")
        # A gateway that is gone holds up nothing, and its load was not all of the load: the model stays.
        until = len(answers) + 100
        eventually(lambda: len(answers) > until, "no answers", HOLD_S)
        assert here.status("scaling")["readyReplicas"] >= 1
    assert answers == [ANSWERED] * len(answers)

    eventually(lambda: "Ready at zero" in here.summary("scaling"), lambda: f"it stays: {here.status('scaling')}", HOLD_S)
    assert not here.status("scaling").get("traffic")
    eventually(lambda: not kubelet.pods("server"), "the idle server stays", HOLD_S)
    assert len(here.status("scaling")["scaling"]["decisions"]) >= 2
    assert two.infer("scaling", ASKED) == ANSWERED, "and it wakes again"


def test_a_gateway_names_the_right_that_it_lacks_and_serves_on_while_the_api_server_is_away(
    control_plane: ControlPlane, here: Site
) -> None:
    backend = here.exits.enter_context(Backend.running("one"))
    access = account(here.access, here.namespace, here.folder)
    made = here.exits.enter_context(gateway(access, here.namespace))
    lacking = f"grant the gateway the verbs list and watch on modeldeployments.forebay.dev in namespace {here.namespace}"
    eventually(lambda: lacking in made.log(), "it does not say what it lacks", HOLD_S)
    here.deploy("digits", here.model_file())
    _serve(here, "digits", backend)
    grant(here.api, here.namespace)
    made.wait_until_ready()
    assert made.infer("digits", ASKED) == [7]

    control_plane.stop_api_server()
    try:
        eventually(lambda: "cannot be followed" in made.log(), "it does not notice", HOLD_S)
        assert made.page("/healthz")[0] == 200
        assert made.infer("digits", ASKED) == [7]
    finally:
        control_plane.start_api_server()
    here.api.delete(here.path("modeldeployments", "digits"))
    here.deploy("faces", here.model_file())
    written = _serve(here, "faces", backend)
    eventually(lambda: ask(made, INFER.format("digits"), b"{}").status == 404, "the deleted model is routed to", HOLD_S)
    lines = made.demand_lines()
    eventually(lambda: int(next(lines).routes or 0) >= written, "it does not say how far it has come", HOLD_S)
    # Not before: for a moment the gateway knows the new model, and Envoy does not.
    assert made.infer("faces", ASKED) == [7]


def _serve(here: Site, name: str, backend: Backend) -> int:
    """Write a status as the operator would; the version of the object with it."""
    endpoints = [backend.endpoint.model_dump()]
    traffic: Json = {"traffic": [{"revision": 1, "weight": 100, "endpoints": endpoints}]}
    written = here.api.merge(here.path("modeldeployments", f"{name}/status"), {"status": traffic})
    return int(written["metadata"]["resourceVersion"])
