"""The API server goes away and comes back: nothing that happened meanwhile is missed, and serving goes on."""

import signal

from cluster_api import eventually
from cluster_control_plane import ControlPlane
from cluster_site import Site


def test_after_an_outage_serving_goes_on_and_deletions_that_were_missed_are_noticed(
    control_plane: ControlPlane, here: Site
) -> None:
    kubelet = here.start_kubelet()
    operator = here.start_operator(settings={"serverIdleSeconds": 2, "serverStartSeconds": 300})
    here.deploy("scaling", here.model_file())
    here.deploy("other", here.model_file())
    here.wait_until_ready("scaling")
    here.wait_until_ready("other")
    (server,) = kubelet.pods("server")

    control_plane.stop_api_server()
    try:
        operator.wait_until_it_says("this operator leads no more")
        assert here.infer(server, "scaling", [1.0, 1.0, 1.0, 1.0]) == [3.0] * 4
        # It hears nothing of what happens between the start of the API server and its own next listing.
        operator.signal(signal.SIGSTOP)
        control_plane.start_api_server()
        here.api.delete(here.path("modeldeployments", "other"))
        eventually(lambda: here.api.find(here.path("modeldeployments", "other")) is None, "the object stays")
    finally:
        operator.signal(signal.SIGCONT)

    eventually(lambda: _holds(here, server.address) == {"scaling"}, "the replica of the deleted model stays")
    assert here.infer(server, "scaling", [1.0, 1.0, 1.0, 1.0]) == [3.0] * 4
    here.api.delete(here.path("modeldeployments", "scaling"))
    eventually(lambda: not here.all("pods"), "the server stays")


def _holds(here: Site, address: str) -> set[str]:
    """The models that a server has ready."""
    return {entry["name"] for entry in here.index(address) if entry.get("state") == "READY"}
