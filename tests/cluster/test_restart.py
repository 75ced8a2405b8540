"""An operator that is killed and started again goes on where it was: nothing lost, nothing done twice."""

import contextlib
import json
from typing import Any

from cluster_api import ApiError, Json, eventually
from cluster_control_plane import ControlPlane
from cluster_kubelet import Kubelet
from cluster_operator import OperatorProcess
from cluster_site import Site

_WRITES = ("create", "patch", "update", "delete")


def _writes(control_plane: ControlPlane, here: Site, since: int = 0) -> list[Json]:
    """The operator's writes in the namespace that its audit log has, but for the lease's."""
    found: list[Json] = []
    for line in control_plane.audit_log.read_text().splitlines():
        entry: Any = json.loads(line)
        resource = entry.get("objectRef", {})
        if (
            entry.get("userAgent", "") == "forebay-operator"
            and entry["verb"] in _WRITES
            and resource.get("namespace") == here.namespace
            and resource.get("resource") not in ("leases", "events")
        ):
            found.append(entry)
    return found[since:]


def _what(writes: list[Json]) -> list[str]:
    return [f"{each['verb']} {each['objectRef']['resource']}/{each['objectRef'].get('subresource', '')}" for each in writes]


def _identities(here: Site) -> list[tuple[str, str, str]]:
    """Every object that the operator makes, as it is now."""
    return [
        (kind, each["metadata"]["uid"], each["metadata"]["resourceVersion"])
        for kind in ("modeldeployments", "deployments", "services", "jobs", "pods")
        for each in here.all(kind)
    ]


def test_nothing_is_written_when_nothing_changes_nor_by_an_operator_that_starts_again(
    control_plane: ControlPlane, here: Site
) -> None:
    kubelet = here.start_kubelet()
    operator = here.start_operator(settings={"serverIdleSeconds": 300, "serverStartSeconds": 300})
    here.deploy("scaling", here.model_file(), replicas=2)
    here.wait_until_ready("scaling", replicas=2)
    eventually(lambda: not here.all("jobs"), "the Job stays")
    # The figures of the status are written once more, ten seconds later at the most.
    _let_it_look_around(operator, steps=12)
    before, written = _identities(here), len(_writes(control_plane, here))
    _let_it_look_around(operator, steps=6)
    assert _what(_writes(control_plane, here, written)) == []

    operator.kill()
    server = kubelet.pods("server")[0]
    assert here.infer(server, "scaling", [1.0, 1.0, 1.0, 1.0]) == [3.0] * 4
    operator.start()
    operator.wait_until_it_acts()
    _let_it_look_around(operator, steps=6)
    assert _identities(here) == before
    # Secrets cannot be read, so one is applied blindly once; that changes nothing.
    assert set(_what(_writes(control_plane, here, written))) <= {"patch secrets/"}


def _let_it_look_around(operator: OperatorProcess, steps: int) -> None:
    """Until it has stepped so many times more."""

    def stepped() -> float:
        _, text = operator.page("/metrics")
        line = next((each for each in text.splitlines() if each.startswith("forebay_operator_step_seconds_count")), "x 0")
        return float(line.split()[-1])

    before = stepped()
    eventually(lambda: stepped() >= before + steps, "the operator does not step")


def test_an_operator_that_is_killed_after_each_thing_it_did_loses_nothing_and_does_nothing_twice(
    control_plane: ControlPlane, here: Site
) -> None:
    kubelet = here.start_kubelet()
    kubelet.held.update(("conversion", "server"))
    operator = here.start_operator()
    here.deploy("scaling", here.model_file())
    for done, released in (
        (lambda: here.all("services"), ""),
        (lambda: here.all("jobs"), "conversion"),
        (lambda: here.all("deployments"), "server"),
        (lambda: _holds(here, kubelet), ""),
    ):
        eventually(done, "the operator does not go on")
        operator.kill()
        operator.start()
        kubelet.held.discard(released)
    here.wait_until_ready("scaling")
    made = [each for each in _writes(control_plane, here) if each["verb"] == "create" or _is_first(each)]
    jobs = {each["objectRef"].get("name") for each in made if each["objectRef"]["resource"] == "jobs"}
    assert len(jobs) <= 1
    assert len(kubelet.pods("server")) == 1
    assert len(here.all("deployments")) == 1
    here.api.delete(here.path("modeldeployments", "scaling"))
    operator.kill()
    operator.start()
    for kind in ("services", "jobs", "pods", "deployments", "secrets"):
        here.wait_until_none(kind)


def _holds(here: Site, kubelet: Kubelet) -> bool:
    """Whether a server was told to load something."""
    with contextlib.suppress(OSError, ApiError):
        return any(here.index(pod.address) for pod in kubelet.pods("server"))
    return False


def test_an_operator_that_makes_servers_differently_moves_models_and_converts_nothing_again(
    control_plane: ControlPlane, here: Site
) -> None:
    kubelet = here.start_kubelet()
    first = here.start_operator(settings={"serverIdleSeconds": 300, "serverStartSeconds": 3000})
    here.deploy("scaling", here.model_file())
    here.wait_until_ready("scaling")
    (before,) = here.all("deployments")
    first.stop()
    written = len(_writes(control_plane, here))
    images = {"cpuImage": "forebay/runtime:newer", "gpuImage": "forebay/runtime:newer", "drainSeconds": 30}
    here.start_operator(settings={"serverIdleSeconds": 300, "serverStartSeconds": 3000}, servers=images)

    def moved() -> bool:
        return [each["metadata"]["uid"] for each in here.all("deployments")] not in ([], [before["metadata"]["uid"]])

    eventually(moved, "there is no server of the new kind")
    eventually(lambda: len(here.all("deployments")) == 1, "servers of the old kind stay")
    here.wait_until_ready("scaling")
    eventually(lambda: len(kubelet.pods("server")) == 1, "the old server does not end")
    assert here.infer(kubelet.pods("server")[0], "scaling", [1.0, 1.0, 1.0, 1.0]) == [3.0] * 4
    assert not [each for each in _what(_writes(control_plane, here, written)) if each.startswith("create jobs")]


def _is_first(entry: Json) -> bool:
    return bool(entry.get("responseStatus", {}).get("code") == 201)
