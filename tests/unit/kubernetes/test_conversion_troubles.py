"""Whatever keeps a conversion's Job from its end: the summary names the cause and the remedy in a sentence or two.

The objects are as API servers, schedulers and kubelets write them.
"""

import re
from dataclasses import dataclass, replace

import pytest
from kubernetes.aio.client.configuration import Configuration

from domain_builders import a_deployment, a_world
from forebay_operator.domain.actions import StartConversion, WriteStatus
from forebay_operator.domain.step import step
from forebay_operator.manifests.conversion import job
from forebay_operator.manifests.kinds import JOB_EVENTS, JOBS, PODS
from forebay_operator.worlds.kubernetes.api_server import ApiServer
from forebay_operator.worlds.kubernetes.conversions import Conversions
from forebay_operator.worlds.kubernetes.store import Store
from forebay_operator.worlds.kubernetes.writer import Writer
from forebay_schema.conversion import ConversionFailure, ConversionResult
from kubernetes_builders import Json, a_conversion_order, an_installation, an_object

_api = ApiServer(Configuration())
STAGES = ("fetch", "find", "convert", "publish")
SINCE = "2026-01-01T00:00:00Z"
POD = "forebay-convert-x-1-abcde"
DONE: Json = {"terminated": {"exitCode": 0, "reason": "Completed", "startedAt": SINCE, "finishedAt": SINCE}}
WAITS: Json = {"waiting": {"reason": "PodInitializing"}}


@dataclass(frozen=True)
class Trouble:
    """One row: what the cluster shows, and what the summary says."""

    name: str
    says: tuple[str, ...]
    pod: Json | None = None
    event: str = ""
    ended: bool = False
    """Whether the Job failed of it."""
    again: bool = False
    """Whether it is tried again by itself."""
    going: bool = False
    """Whether the pod is being deleted."""


def containers(stage: str, state: Json) -> Json:
    """The statuses of the containers of a pod: those before the stage are done, those after it wait."""
    at = STAGES.index(stage)
    states = [*[DONE] * at, state, *[WAITS] * (len(STAGES) - at - 1)]
    shown = [
        {"name": name, "image": "forebay/convert:1", "ready": False, "restartCount": 0, "state": each}
        for name, each in zip(STAGES, states, strict=True)
    ]
    return {"initContainerStatuses": shown[:-1], "containerStatuses": shown[-1:]}


def unschedulable(message: str) -> Json:
    scheduled = {"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": message}
    return {"phase": "Pending", "conditions": [scheduled]}


def waiting(stage: str, reason: str, message: str) -> Json:
    return {"phase": "Pending", **containers(stage, {"waiting": {"reason": reason, "message": message}})}


def terminated(stage: str, exit_code: int, reason: str = "Error", message: str = "") -> Json:
    ended = {"exitCode": exit_code, "reason": reason, "message": message, "startedAt": SINCE, "finishedAt": SINCE}
    return {"phase": "Failed", **containers(stage, {"terminated": ended})}


def failed(reason: str, message: str, stage: str = "convert", state: Json | None = None) -> Json:
    """A pod that its node ended."""
    killed = {"terminated": {"exitCode": 137, "reason": "Error", "startedAt": SINCE, "finishedAt": SINCE}}
    return {"phase": "Failed", "reason": reason, "message": message, **containers(stage, state or killed)}


def result(stage: str, cause: str, remedy: str, *, retryable: bool) -> str:
    failure = ConversionFailure.model_validate({"stage": stage, "cause": cause, "remedy": remedy, "retryable": retryable})
    return ConversionResult(failure=failure).to_termination_message()


TABLE = [
    Trouble(
        "no node has room",
        ("No node has room for it", "3 Insufficient memory", "add a node, or lower what it requests"),
        unschedulable(
            "0/3 nodes are available: 3 Insufficient memory. preemption: 0/3 nodes are available: "
            "3 No preemption victims found for incoming pod."
        ),
    ),
    Trouble(
        "no node tolerated",
        ("No node takes it", "node.kubernetes.io/disk-pressure", "add a node that does, or change what it asks of nodes"),
        unschedulable("0/1 nodes are available: 1 node(s) had untolerated taint {node.kubernetes.io/disk-pressure: }."),
    ),
    Trouble(
        "claim missing",
        ("Its volume is not there", 'persistentvolumeclaim "models" not found', "make the claim"),
        unschedulable('0/1 nodes are available: persistentvolumeclaim "models" not found. not found'),
    ),
    Trouble(
        "claim not bound",
        ("Its volume is not there", "unbound immediate PersistentVolumeClaims", "see why it is not bound"),
        unschedulable("0/1 nodes are available: pod has unbound immediate PersistentVolumeClaims. not found"),
    ),
    Trouble(
        "image cannot be pulled",
        ("The image forebay/convert:1 cannot be pulled", "pull access denied", "check its name and pull secret"),
        waiting(
            "fetch",
            "ImagePullBackOff",
            'Back-off pulling image "forebay/convert:1": ErrImagePull: failed to pull and unpack image '
            '"docker.io/forebay/convert:1": failed to resolve reference: pull access denied, repository does not exist',
        ),
    ),
    Trouble(
        "image name invalid",
        ("cannot be pulled", "invalid reference format", "check its name"),
        waiting("fetch", "InvalidImageName", 'Failed to apply default image tag "A b": invalid reference format'),
    ),
    Trouble(
        "source's Secret missing",
        ("Its container cannot be made", 'secret "my-s3" not found', "create what is missing"),
        waiting("fetch", "CreateContainerConfigError", 'secret "my-s3" not found'),
    ),
    Trouble(
        "store's Secret missing",
        ("Its container cannot be made", 'secret "forebay-store" not found', "create what is missing"),
        waiting("publish", "CreateContainerConfigError", 'secret "forebay-store" not found'),
    ),
    Trouble(
        "Secret wrong",
        ("may not be read", "Check the credentials: source.secretRef"),
        terminated(
            "fetch",
            1,
            message=result(
                "fetch",
                "The source at s3://m/m.onnx may not be read: PermissionError: The AWS Access Key Id does not exist.",
                "Check the credentials: source.secretRef in a cluster.",
                retryable=True,
            ),
        ),
        ended=True,
        again=True,
    ),
    Trouble(
        "store away",
        ("The store at s3://b cannot be used", "Check that it exists"),
        terminated(
            "publish",
            1,
            message=result(
                "publish",
                "The store at s3://b cannot be used: EndpointConnectionError: Could not connect.",
                "Check that it exists, that it has room, and that this process may write to it.",
                retryable=True,
            ),
        ),
        ended=True,
        again=True,
    ),
    *(
        Trouble(
            f"{stage} out of memory",
            (f"Its stage {stage} needed more memory than its limit of 4Gi", "Raise the memory limit of conversions"),
            terminated(stage, 137, "OOMKilled"),
            ended=True,
        )
        for stage in STAGES
    ),
    Trouble(
        "deadline while it converts",
        ("It did not end within 900 s", "Raise the deadline of conversions"),
        failed("DeadlineExceeded", "Pod was active on the node longer than the specified deadline"),
        ended=True,
        again=True,
    ),
    Trouble(
        "deadline before it began",
        ("Its pod did not start within 900 s", f"kubectl describe pod {POD}"),
        failed(
            "DeadlineExceeded",
            "Pod was active on the node longer than the specified deadline",
            "fetch",
            {"terminated": {"exitCode": 137, "reason": "ContainerStatusUnknown", "startedAt": None, "finishedAt": None}},
        ),
        ended=True,
        again=True,
    ),
    Trouble(
        "deadline without its Secret",
        ("Its pod did not start within 900 s", 'secret "my-s3" not found', "create what is missing"),
        failed(
            "DeadlineExceeded",
            "Pod was active on the node longer than the specified deadline",
            "fetch",
            {"waiting": {"reason": "CreateContainerConfigError", "message": 'secret "my-s3" not found'}},
        ),
        ended=True,
        again=True,
    ),
    Trouble(
        "evicted by its node",
        ("Its pod was ended by its node", "low on resource: memory", "Free the node"),
        failed("Evicted", "The node was low on resource: memory. Threshold quantity: 100Mi, available: 88Mi. "),
        ended=True,
        again=True,
    ),
    Trouble(
        "folder too large",
        ("It wrote more than conversions may write", 'EmptyDir volume "converted"', "use a smaller source"),
        failed("Evicted", 'Usage of EmptyDir volume "converted" exceeds the limit "8Gi". '),
        ended=True,
    ),
    Trouble(
        "disk limit of a container",
        ("It wrote more than conversions may write", "ephemeral-storage limit of conversions"),
        failed("Evicted", 'Container convert exceeded its local ephemeral storage limit "12Gi". '),
        ended=True,
    ),
    Trouble(
        "node shut down",
        ("Its pod was ended by its node", "imminent node shutdown"),
        failed("Terminated", "Pod was terminated in response to imminent node shutdown."),
        ended=True,
        again=True,
    ),
    Trouble(
        "node refused it",
        ("Its pod was ended by its node", "OutOfcpu"),
        {"phase": "Failed", "reason": "OutOfcpu", "message": "Pod was rejected: Node didn't have enough resource: cpu"},
        ended=True,
        again=True,
    ),
    Trouble(
        "preempted",
        ("Its pod was taken away", "PreemptionByScheduler", "See what removes pods there"),
        {
            "phase": "Failed",
            "conditions": [
                {
                    "type": "DisruptionTarget",
                    "status": "True",
                    "reason": "PreemptionByScheduler",
                    "message": "default-scheduler: preempting to accommodate a higher priority pod",
                }
            ],
        },
        ended=True,
        again=True,
    ),
    Trouble(
        "node lost",
        ("is being ended", "DeletionByTaintManager", "if its node is gone for good, delete the Node"),
        {
            "phase": "Running",
            "conditions": [
                {
                    "type": "DisruptionTarget",
                    "status": "True",
                    "reason": "DeletionByTaintManager",
                    "message": "Taint manager: deleting due to NoExecute taint",
                }
            ],
            **containers("convert", {"running": {"startedAt": SINCE}}),
        },
        going=True,
    ),
    Trouble("pod deleted", ("Its pod is gone", "See what removes pods there"), None, ended=True, again=True),
    Trouble(
        "image without the program",
        ("Its container fetch could not be started", "executable file not found", "Check the image of conversions"),
        terminated("fetch", 128, "StartError", 'exec: "/opt/forebay/bin/forebay-convert": executable file not found'),
        ended=True,
        again=True,
    ),
    Trouble(
        "no result",
        ("Its container convert ended with exit status 2 and left no result", "kubectl logs"),
        terminated("convert", 2),
        ended=True,
        again=True,
    ),
    Trouble(
        "result of another kind",
        ("Its container publish ended with exit status 1 and left no result (MemoryError)",),
        terminated("publish", 1, message="Traceback\nMemoryError\n"),
        ended=True,
        again=True,
    ),
    Trouble(
        "container lost",
        ("Its node lost its container", "See whether the node is well"),
        terminated("convert", 137, "ContainerStatusUnknown"),
        ended=True,
        again=True,
    ),
    Trouble(
        "quota of pods",
        ("The namespace's quota is used up", "exceeded quota: tight", "raise the ResourceQuota"),
        event='Error creating: pods "x" is forbidden: exceeded quota: tight, requested: pods=1, used: pods=0, limited: pods=0',
    ),
    Trouble(
        "limits of the namespace",
        ("The namespace's limits refuse it", "maximum memory usage per Container is 2Gi", "change the LimitRange"),
        event='Error creating: pods "x" is forbidden: maximum memory usage per Container is 2Gi, but limit is 4Gi',
    ),
    Trouble(
        "pod security",
        ("The namespace's pod security refuses it", "allow it there"),
        event='Error creating: pods "x" is forbidden: violates PodSecurity "restricted:latest": host namespaces',
    ),
    Trouble(
        "webhook",
        ("A webhook refuses it", "denied the request: no cost centre", "exempt Forebay's pods"),
        event='Error creating: admission webhook "deny.example.com" denied the request: no cost centre',
    ),
]


def summary(trouble: Trouble) -> str:
    """What the control step says of a model whose conversion is in this trouble."""
    world = a_world(a_deployment())
    first = step(world.snapshot, world.memory)
    (start,) = [action for action in first.actions if isinstance(action, StartConversion)]
    store = Store(lambda _: None)
    now = world.snapshot.now
    conversions = Conversions(
        store, Writer(_api, store, lambda *_: None, lambda: None), an_installation(), lambda _: [], lambda: now
    )
    made = job(start, a_conversion_order(), [], an_installation())
    condition = {"type": "Failed", "status": "True", "reason": "BackoffLimitExceeded", "lastTransitionTime": SINCE}
    live = an_object(JOBS, made["metadata"]["name"], metadata=made["metadata"], spec=made["spec"])
    store.put(JOBS, {**live, "status": {"conditions": [condition]} if trouble.ended else {}})
    uid = live["metadata"]["uid"]
    if trouble.pod is not None:
        metadata: Json = {"ownerReferences": [{"kind": "Job", "uid": uid}]}
        if trouble.going:
            metadata["deletionTimestamp"] = SINCE
        store.put(PODS, an_object(PODS, POD, metadata=metadata, spec=made["spec"]["template"]["spec"], status=trouble.pod))
    if trouble.event:
        regarding = {"kind": "Job", "uid": uid}
        store.put(
            JOB_EVENTS, an_object(JOB_EVENTS, "e", involvedObject=regarding, reason="FailedCreate", message=trouble.event)
        )
    seen = conversions.seen()
    moment = max((each.finished_at or each.started_at) for each in seen)
    second = step(replace(world.snapshot, conversions=seen, now=moment), first.memory)
    (written,) = [action for action in second.actions if isinstance(action, WriteStatus)]
    return written.status.summary


@pytest.mark.parametrize("trouble", [pytest.param(each, id=each.name.replace(" ", "-")) for each in TABLE])
def test_the_summary_names_cause_and_remedy(trouble: Trouble) -> None:
    said = summary(trouble)

    for part in trouble.says:
        assert part.lower() in said.lower()
    assert ("conversion failed at" in said) == trouble.ended
    assert ("It is tried again by itself." in said) == trouble.again
    assert said.count("tried again by itself") <= 1
    assert len(said) < 700
    assert not re.search(r"\.\.|\. \.|  |\.:", said.replace("...", ""))
