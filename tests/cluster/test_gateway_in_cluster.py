"""From a ModelDeployment to answered requests: the real operator, gateways, Envoys and servers on a real API server."""

import threading
from collections.abc import Generator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

from cluster_api import eventually
from cluster_gateway import HOLD_S, ClusterGateway, gateway, remove_pod
from cluster_site import Site

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
    here.wait_for_summary("scaling", "Ready at zero")
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

    eventually(lambda: "Ready at zero" in here.summary("scaling"), lambda: f"it stays: {here.status('scaling')}", 120)
    assert not here.status("scaling").get("traffic")
    eventually(lambda: not kubelet.pods("server"), "the idle server stays")
    assert len(here.status("scaling")["scaling"]["decisions"]) >= 2
    assert two.infer("scaling", ASKED) == ANSWERED, "and it wakes again"
