"""Replicas follow what gateways report: from zero when a request is held, and back when nobody asks any more."""

from cluster_api import eventually
from cluster_gateway import PlayedGateway
from cluster_site import Site


def test_a_held_request_wakes_a_model_and_an_idle_one_goes_back_to_zero(here: Site) -> None:
    kubelet = here.start_kubelet()
    first = here.exits.enter_context(PlayedGateway(here.api, here.namespace, "gateway-1"))
    second = here.exits.enter_context(PlayedGateway(here.api, here.namespace, "gateway-2"))
    # However slow this machine is to get a replica ready, a request could wait for it.
    here.start_operator(settings={"serverIdleSeconds": 2, "serverStartSeconds": 300, "holdSeconds": 600})
    here.deploy("scaling", here.model_file(), autoscaling={"minReplicas": 0, "maxReplicas": 2, "idleTimeout": "3s"})
    here.wait_for_summary("scaling", "Ready at zero")
    assert not kubelet.pods("server")

    first.held["scaling"] = 1
    first.arrivals["scaling"] = 1
    here.wait_until_ready("scaling")
    first.held["scaling"] = 0
    # As long as requests come, to whichever gateway, it stays.
    for arrivals in range(1, 6):
        second.arrivals["scaling"] = arrivals
        eventually(lambda: here.status("scaling").get("readyReplicas") == 1, "it went although requests come")

    eventually(lambda: "Ready at zero" in here.summary("scaling"), lambda: f"it stays: {here.status('scaling')}", 90)
    assert not here.status("scaling").get("traffic")
    eventually(lambda: not kubelet.pods("server"), "the idle server stays")
    reasons = [decision["reason"] for decision in here.status("scaling")["scaling"]["decisions"]]
    assert len(reasons) >= 2
