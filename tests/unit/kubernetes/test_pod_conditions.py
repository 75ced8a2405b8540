from typing import Any

import pytest

from forebay_operator.manifests.kinds import PODS
from forebay_operator.worlds.kubernetes import pods
from forebay_operator.worlds.kubernetes.store import Seen
from kubernetes_builders import an_object


def a_pod(**status: Any) -> Seen:
    content = an_object(PODS, "pod", status=status)
    return Seen.of(content)


def waiting(reason: str, message: str = "", **more: Any) -> Seen:
    state = {"waiting": {"reason": reason, "message": message}}
    return a_pod(containerStatuses=[{"name": "server", "image": "forebay/runtime:9", "state": state, **more}])


def unscheduled(message: str) -> Seen:
    return a_pod(conditions=[{"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": message}])


@pytest.mark.parametrize(
    ("pod", "cause", "remedy"),
    [
        (unscheduled("0/3 nodes are available: 3 Insufficient nvidia.com/gpu."), "No node has a free GPU", "add a GPU node"),
        (unscheduled("0/3 nodes are available: 3 Insufficient memory."), "No node has room", "add a node, or lower"),
        (unscheduled("0/1 nodes are available: 1 node(s) had untolerated taint"), "No node takes it", "change what it asks"),
        (waiting("ImagePullBackOff", "Back-off pulling image"), "forebay/runtime:9 cannot be pulled", "check its name"),
        (waiting("ErrImagePull", "not found"), "cannot be pulled (not found)", "pull secret"),
        (
            waiting("CreateContainerConfigError", 'secret "my-s3" not found'),
            'secret "my-s3" not found',
            "create what is missing",
        ),
        (
            waiting("CrashLoopBackOff", lastState={"terminated": {"reason": "OOMKilled", "exitCode": 137}}),
            "more memory",
            "log",
        ),
        (waiting("CrashLoopBackOff", lastState={"terminated": {"reason": "Error", "exitCode": 2}}), "exit status 2", "log"),
    ],
)
def test_a_pod_that_does_not_run_says_why_and_what_to_do(pod: Seen, cause: str, remedy: str) -> None:
    sentence = pods.hindrance(pod)
    assert cause in sentence
    assert remedy in sentence
    assert sentence.endswith(".")


@pytest.mark.parametrize("pod", [a_pod(), a_pod(phase="Pending"), waiting("ContainerCreating"), waiting("PodInitializing")])
def test_a_pod_that_is_on_its_way_has_no_hindrance(pod: Seen) -> None:
    assert pods.hindrance(pod) == ""


@pytest.mark.parametrize(
    ("message", "remedy"),
    [
        ('pods "x" is forbidden: exceeded quota: tight, requested: pods=1', "raise the ResourceQuota"),
        ('pods "x" is forbidden: violates PodSecurity "restricted:latest"', "allow it there"),
        ('admission webhook "costs.example.com" denied the request: no cost centre', "A webhook refuses it"),
        ("maximum memory usage per Container is 1Gi, but limit is 4Gi", "change the LimitRange"),
        ("the moon is full", "correct that"),
    ],
)
def test_a_pod_that_could_not_be_made_says_why_and_what_to_do(message: str, remedy: str) -> None:
    assert remedy in pods.refused_pod(message)


def test_an_eviction_is_told_from_a_failure_of_the_container() -> None:
    assert pods.evicted(a_pod(phase="Failed", reason="Evicted", message="low on memory")) == "Evicted: low on memory"
    assert pods.evicted(a_pod(phase="Failed")) == ""


def test_an_endpoint_is_known_once_the_pod_has_an_address() -> None:
    ports = [{"name": "http", "containerPort": 8000}, {"name": "grpc", "containerPort": 8001}]
    content = an_object(PODS, "pod", spec={"containers": [{"name": "server", "ports": ports}]}, status={})
    assert pods.endpoint_of(Seen.of(content), "server") is None
    content["status"]["podIP"] = "10.0.0.7"
    endpoint = pods.endpoint_of(Seen.of(content), "server")
    assert endpoint is not None
    assert (endpoint.host, endpoint.http, endpoint.grpc) == ("10.0.0.7", 8000, 8001)
