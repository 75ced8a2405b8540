"""Where there is one device: two models race for it."""

from cluster_api import eventually
from cluster_site import Site

_DEVICE = {"simulated": {"servers": 1, "memory": "1Gi"}}
_SETTINGS = {"serverIdleSeconds": 300, "serverStartSeconds": 3000}


def test_of_two_models_that_race_for_the_last_gpu_one_serves_and_the_other_says_what_it_waits_for(here: Site) -> None:
    here.start_kubelet()
    here.start_operator(devices=_DEVICE, settings=_SETTINGS)
    models = ("left", "right")
    for name in models:
        here.deploy(name, here.model_file(), placement={"exclusive": True})

    def served() -> list[str]:
        return [name for name in models if here.status(name).get("readyReplicas") == 1]

    eventually(lambda: served() and all(here.summary(name) for name in models), "none serves")
    (winner,) = served()
    (other,) = set(models) - {winner}
    summary = here.wait_for_summary(other, "on a device of its own, and all devices are taken")
    assert "add a device" in summary
    here.api.delete(here.path("modeldeployments", winner))
    here.wait_until_ready(other)
