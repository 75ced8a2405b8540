"""The steps of the proof on a node in which something is killed, stopped or hostile; and the end of all of it."""

import base64
import io
import pickle
import time
from typing import Final

from node_kubectl import Json, wait
from node_site import CLIENT, MODELS, RELEASE, SYSTEM, Site, example, load
from node_steps import Seen, check, no_loss

_THREADS: Final = 4
OUTAGE_S: Final = 60
_KINDS: Final = "deployments,replicasets,jobs,pods,services,secrets,configmaps,serviceaccounts,networkpolicies,mdep"


def killed_container(site: Site) -> Seen:
    """A server's process is killed while no operator is there: the container starts again and loads its models by itself."""
    _one_replica(site)
    _operators(site, 0)
    pod = site.servers()[0]
    before = _restarts(pod)
    with load(site) as outcome:
        time.sleep(2)
        site.do("kill-container", namespace=MODELS, pod=pod["metadata"]["name"])
        killed = time.monotonic()
        wait(lambda: _restarts(site.servers()[0]) > before, "the container to start again")
        answer = site.ask("http", seconds=120)
        back = time.monotonic() - killed
        time.sleep(2)
    _operators(site, 2)
    check(not outcome[0].wrong or outcome[0].answered, f"nothing was answered: {outcome[0]}")
    yield f"no operator; the container came back with its model and answered {back:.1f} s after the kill: {answer}"
    yield f"requests during that: {outcome[0]}"


def killed_server(site: Site) -> Seen:
    """A server's pod is deleted without any grace, while another has the model too."""
    site.scale(2, 2)
    site.wait_ready(2)
    with load(site) as outcome:
        time.sleep(2)
        victim = site.servers()[0]["metadata"]["name"]
        site.kubectl.delete("pod", victim, MODELS, "--grace-period=0", "--force")
        wait(lambda: victim not in {pod["metadata"]["name"] for pod in site.servers()}, "the pod to go")
        site.wait_ready(2)
        time.sleep(2)
    yield f"one of two servers killed, both there again: {outcome[0]}"
    check(len(outcome[0].wrong) <= _THREADS, f"more was lost than was in that server: {outcome[0]}")


def killed_operator(site: Site) -> Seen:
    """Both operators are killed."""
    _one_replica(site)
    with load(site) as outcome:
        site.kubectl.run(
            "delete",
            "pods",
            f"--namespace={SYSTEM}",
            "--selector=app.kubernetes.io/component=operator",
            "--grace-period=0",
            "--force",
        )
        wait(lambda: site.is_complete("operator"), "operators to come back")
        time.sleep(3)
    yield from no_loss(outcome[0], cut=0)
    check(site.ready() == 1, f"replicas changed: {site.summary()}")


def killed_gateway(site: Site) -> Seen:
    """One of two gateways is taken away, first in order, then at once."""
    _one_replica(site)
    with load(site) as outcome:
        time.sleep(2)
        _delete_gateway(site)
        wait(lambda: site.is_complete("gateway"), "gateways to be complete", 180)
    yield f"evicted in order: {outcome[0]}"
    check(not outcome[0].wrong and not outcome[0].cut, f"requests were lost: {outcome[0]}")
    with load(site) as outcome:
        time.sleep(2)
        _delete_gateway(site, "--grace-period=0", "--force")
        wait(lambda: site.is_complete("gateway"), "gateways to be complete", 180)
        time.sleep(2)
    yield f"killed: {outcome[0]}"
    check(len(outcome[0].wrong) + len(outcome[0].cut) <= _THREADS, f"more was lost than was in it: {outcome[0]}")


def _delete_gateway(site: Site, *flags: str) -> None:
    victim = site.kubectl.items("pods", SYSTEM, "app.kubernetes.io/component=gateway")[0]["metadata"]["name"]
    site.kubectl.delete("pod", victim, SYSTEM, "--wait=false", *flags)


def kubelet_away(site: Site) -> Seen:
    """The node's kubelet stops for a while: nobody starts or probes anything, containers go on."""
    yield from _outage(site, "kubelet", 30)


def api_server_away(site: Site) -> Seen:
    """The API server stops."""
    yield from _outage(site, "api-server", OUTAGE_S)


def _outage(site: Site, what: str, seconds: int) -> Seen:
    _one_replica(site)
    with load(site) as outcome:
        time.sleep(2)
        site.do(f"stop-{what}")
        time.sleep(seconds)
        site.do(f"start-{what}")
        wait(lambda: site.ready() == 1 and site.ask("http"), "everything to work again", 180)
        time.sleep(5)
    yield f"{seconds} s without the {what}"
    yield from no_loss(outcome[0], cut=0)


def unhealthy_gpu(site: Site) -> Seen:
    """A GPU of the node is reported as unhealthy, and healthy again."""
    site.scale(2, 2)
    site.wait_ready(2)
    site.do("gpu-unhealthy")
    try:
        wait(lambda: _gpus(site) == 1, "the node to say so")
        time.sleep(5)
        yield f"one GPU of two is unhealthy: “{site.summary()}”; {site.ask('http')}"
    finally:
        site.do("gpu-healthy")
    wait(lambda: _gpus(site) == 2, "the node to say that it is well")
    site.wait_ready(2)
    yield f"it is well again: “{site.summary()}”"


def _gpus(site: Site) -> int:
    nodes = site.kubectl.items("nodes")
    return sum(int(node["status"]["allocatable"].get("nvidia.com/gpu", 0)) for node in nodes)


def hostile_pickle(site: Site) -> Seen:
    """A scikit-learn file that runs code when it is opened, and looks for credentials and for a way to the API server."""
    site.kubectl.apply(_hostile())
    said = wait(lambda: _refusal(site), "the conversion to be refused", 300)
    yield f"“{said}”"
    jobs = site.kubectl.items("jobs", MODELS, "forebay.dev/model=hostile")
    yield f"its Job ran under the standard `restricted`; Jobs: {len(jobs)}"
    check("escaped" not in said, "the file got out of its sandbox")
    site.kubectl.delete("mdep", "hostile", MODELS)


_ATTACK: Final = """
import os, socket
found = [name for name in os.environ if name.startswith("AWS_")]
places = ("/var/run/secrets/kubernetes.io/serviceaccount/token", "/var/run/forebay/token/token", "/var/run/forebay/store")
found += [place for place in places if os.path.exists(place)]
if not found:
    try:
        socket.create_connection((os.environ.get("KUBERNETES_SERVICE_HOST", "10.96.0.1"), 443), 2)
        found.append("the network")
    except Exception as error:
        refusal = error
raise RuntimeError("escaped: " + str(found) if found else f"contained: {refusal}")
"""


class _Attack:
    def __reduce__(self) -> tuple[object, tuple[str, dict[str, object]]]:
        return exec, (_ATTACK, {})


def _hostile() -> Json:
    content = io.BytesIO()
    pickle.dump(_Attack(), content)
    uri = f"data:;base64,{base64.b64encode(content.getvalue()).decode()}"
    made = example("hostile")
    made["spec"]["model"] = {"format": "sklearn", "source": {"uri": uri}}
    return made


def _refusal(site: Site) -> str:
    """What is said once the conversion has failed; empty: not yet."""
    conditions: list[Json] = site.model("hostile").get("status", {}).get("conditions", [])
    failed = [each for each in conditions if (each["type"], each["reason"]) == ("Converted", "ConversionFailed")]
    return site.summary("hostile") if failed else ""


def delete(site: Site) -> Seen:
    """kubectl delete of the last model leaves nothing of it."""
    site.kubectl.run("delete", "mdep", "--all", f"--namespace={MODELS}")
    began = time.monotonic()
    wait(lambda: not _left(site), "everything to go", 240)
    yield f"nothing of it is left {time.monotonic() - began:.0f} s after kubectl delete: no pod, Job, Service, Secret"


def _left(site: Site) -> list[str]:
    """What is in the models' namespace that Kubernetes and this proof have not put there."""
    found = site.kubectl.items(_KINDS, MODELS)
    names = [(each["kind"], each["metadata"]["name"]) for each in found]
    ours = {("Pod", CLIENT), ("ConfigMap", CLIENT), ("ConfigMap", "kube-root-ca.crt"), ("ServiceAccount", "default")}
    return [f"{kind}/{name}" for kind, name in names if (kind, name) not in ours]


def uninstall(site: Site) -> Seen:
    """helm uninstall leaves nothing but the definition of ModelDeployments."""
    site.kubectl.helm("uninstall", RELEASE, f"--namespace={SYSTEM}", "--wait", "--timeout=5m")
    everywhere = "clusterroles,clusterrolebindings,priorityclasses,crds"
    wait(lambda: not site.kubectl.items("pods", SYSTEM), "pods to go", 180)
    found = site.kubectl.items(f"{_KINDS},roles,rolebindings,leases,poddisruptionbudgets,pvc", SYSTEM)
    left = [f"{each['kind']}/{each['metadata']['name']}" for each in found]
    left += [
        f"{each['kind']}/{each['metadata']['name']}"
        for each in site.kubectl.items(everywhere)
        if "forebay" in each["metadata"]["name"]
    ]
    expected = {
        "ConfigMap/kube-root-ca.crt",
        "ServiceAccount/default",
        "CustomResourceDefinition/modeldeployments.forebay.dev",
    }
    check(set(left) <= expected, f"left over: {sorted(set(left) - expected)}")
    yield "nothing is left but the definition of ModelDeployments"
    site.kubectl.run("delete", "namespace", MODELS, SYSTEM, "--timeout=120s")


def _one_replica(site: Site) -> None:
    site.scale(1, 2)
    site.wait_ready(1)


def _operators(site: Site, count: int) -> None:
    site.kubectl.run("scale", "deployment/forebay-operator", f"--namespace={SYSTEM}", f"--replicas={count}")
    wait(
        lambda: (
            len(site.kubectl.items("pods", SYSTEM, "app.kubernetes.io/component=operator")) == count
            and (count == 0 or site.is_complete("operator"))
        ),
        f"{count} operators",
    )


def _restarts(pod: Json) -> int:
    return sum(int(each["restartCount"]) for each in pod["status"].get("containerStatuses", []))
