"""Another key of the operator's: by hand, or as another release has it that takes over what an earlier one left."""

from cluster_api import Json, eventually
from cluster_site import Site


def test_servers_obey_an_operator_with_another_key_and_are_not_restarted(here: Site) -> None:
    kubelet = here.start_kubelet()
    operator = here.start_operator(settings={"serverIdleSeconds": 300, "serverStartSeconds": 3000})
    here.deploy("scaling", here.model_file(3.0))
    here.wait_until_ready("scaling")
    (server,) = kubelet.pods("server")
    process, token = server.process, _token(here)

    operator.stop()
    (here.folder / "key").write_text("another-key-that-nobody-else-has", encoding="utf-8")
    operator.start()
    operator.wait_until_it_acts()
    eventually(lambda: _token(here) != token, "the Secret has the token of before")
    assert here.status("scaling")["readyReplicas"] == 1, "what is loaded serves on"
    kubelet.renew_secrets()

    here.deploy("other", here.model_file(5.0))
    here.wait_until_ready("other")
    assert [pod.uid for pod in kubelet.pods("server")] == [server.uid]
    assert server.process is process
    assert here.infer(server, "other", [1.0, 1.0, 1.0, 1.0]) == [5.0] * 4


def _token(here: Site) -> str:
    secret: Json = here.api.get(here.path("secrets", "forebay-repository-token"))
    return str(secret["data"]["token"])
