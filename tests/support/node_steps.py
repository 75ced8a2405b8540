"""The steps of the proof on a node, each of which says what it saw: installation, serving, scaling."""

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Final

from node_kubectl import Json, wait
from node_site import MODEL, MODELS, Requests, Site, example, load, prepare

Seen = Iterator[str]
"""What a step saw, sentence by sentence."""
Step = Callable[[Site], Seen]
BUSY: Final = 40
"""Threads that keep more than one server busy: each asks one image at a time, and a batch takes them together."""


_COMPONENT: Final = "app.kubernetes.io/component"


class FailedError(Exception):
    """What a step saw is not what was promised."""


@dataclass(frozen=True, slots=True)
class Mark:
    """Something that happens once, and how it is told from what a cluster holds."""

    name: str
    reached: Callable[[Json], bool]
    """Of any of the objects."""


def _deployment(name: str) -> Mark:
    return Mark(
        f"{name} is ready",
        lambda each: (
            each["kind"] == "Deployment"
            and each["metadata"]["name"] == f"forebay-{name}"
            and each.get("status", {}).get("readyReplicas", 0) > 0
        ),
    )


def _model(what: str, reached: Callable[[Json], bool]) -> Mark:
    return Mark(what, lambda each: each["kind"] == "ModelDeployment" and reached(each.get("status", {})))


def _condition(kind: str) -> Callable[[Json], bool]:
    return lambda status: any((each["type"], each["status"]) == (kind, "True") for each in status.get("conditions", []))


_MARKS: Final = (
    _deployment("gateway"),
    _deployment("operator"),
    _deployment("store"),
    Mark("the conversion's pod is made", lambda each: each["kind"] == "Job"),
    _model("the model is converted", _condition("Converted")),
    Mark(
        "the server's pod is made",
        lambda each: each["kind"] == "Pod" and each["metadata"].get("labels", {}).get(_COMPONENT) == "server",
    ),
    _model("a replica is ready", lambda status: status.get("readyReplicas", 0) > 0),
)


def install(site: Site) -> Seen:
    """helm install, apply the example, and ask for a prediction as soon as its name resolves."""
    prepare(site)
    began = time.monotonic()
    site.install()
    site.kubectl.apply(example())
    times = {"helm has installed, the example is applied": time.monotonic() - began}
    asking = site.start_asking("http", 300)
    while asking.poll() is None:
        found = site.kubectl.items("deployments,jobs,pods,mdep")
        now = time.monotonic() - began
        for mark in _MARKS:
            if mark.name not in times and any(mark.reached(each) for each in found):
                times[mark.name] = now
    first = time.monotonic() - began
    said, _ = asking.communicate()
    check(asking.returncode == 0, f"no prediction after {first:.0f} s: {said.strip()}")
    yield f"helm install to the first prediction: {first:.1f} s"
    yield "; ".join(f"{name} at {at:.1f} s" for name, at in sorted(times.items(), key=lambda item: item[1]))


def predictions(site: Site) -> Seen:
    """By the model's DNS name, from another pod."""
    for way, name in (("http", "HTTP"), ("grpc", "gRPC (tritonclient)")):
        yield f"{MODEL}.{MODELS} by {name}: {site.ask(way)}"


def scaling(site: Site) -> Seen:
    """0 → 1 → 2 → 0 as load comes and goes."""
    site.scale(0, 2)
    site.wait_ready(0)
    wait(lambda: not site.servers(), "no server is kept for nothing", 180)
    yield "nobody asks: no replica, and no server"
    began = time.monotonic()
    with load(site, BUSY) as outcome:
        wait(lambda: site.ready() >= 1, "a first replica")
        yield f"{BUSY} clients: a first replica after {time.monotonic() - began:.1f} s"
        site.wait_ready(2)
        yield f"a second one after {time.monotonic() - began:.1f} s"
        time.sleep(15)
    yield from no_loss(outcome[0], cut=0)
    stopped = time.monotonic()
    site.wait_ready(0)
    yield f"back at zero {time.monotonic() - stopped:.0f} s after the last request"
    decisions = site.model()["status"]["scaling"].get("decisions", [])
    yield "decisions: " + "; ".join(f"{each['from']} → {each['to']} ({each['reason']})" for each in decisions)


def one_gpu_too_few(site: Site) -> Seen:
    """A replica more than there are GPUs."""
    site.scale(3, 3)
    site.wait_ready(2)
    said = wait(lambda: _shortage(site), "a sentence about the third replica")
    yield f"three replicas on two GPUs: “{said}”"
    site.scale(1, 2)
    site.wait_ready(1)
    yield f"after the change to one: “{site.summary()}”"


def _shortage(site: Site) -> str:
    """What is said of the replica that has no GPU; empty: nothing yet."""
    said = site.summary()
    return said if "2 of 3" in said and "device" in said.partition("for the rest:")[2] else ""


def sharing(site: Site) -> Seen:
    """A second model on the GPU of the first."""
    site.scale(1, 2)
    site.wait_ready(1)
    site.kubectl.apply(example("more-digits", 1, 1))
    site.wait_ready(1, "more-digits")
    hosts = {MODEL: site.endpoints(), "more-digits": site.endpoints("more-digits")}
    check(set(hosts["more-digits"]) <= set(hosts[MODEL]), f"they are on different servers: {hosts}")
    yield f"both are on the server {', '.join(hosts[MODEL])}: {site.ask('http', 'more-digits')}"
    site.kubectl.delete("mdep", "more-digits", MODELS)


def upgrade(site: Site) -> Seen:
    """helm upgrade that replaces operators and gateways, under load."""
    site.scale(1, 2)
    site.wait_ready(1)
    before = {pod["metadata"]["uid"] for pod in site.servers()}
    with load(site) as outcome:
        time.sleep(3)
        site.install("operator.podAnnotations.proof=again", "gateway.podAnnotations.proof=again")
        wait(
            lambda: site.is_complete("operator") and site.is_complete("gateway"), "operators and gateways to be replaced", 300
        )
        time.sleep(3)
    yield from no_loss(outcome[0], cut=0)
    after = {pod["metadata"]["uid"] for pod in site.servers()}
    check(after <= before, "a server was replaced although nothing of it has changed")
    yield "operators and gateways were replaced, no server was"


def no_loss(seen: Requests, *, cut: int) -> Seen:
    """Say what became of the requests; an error, or more cut connections than this, is a failure."""

    yield str(seen)
    check(not seen.wrong and len(seen.cut) <= cut and seen.answered > 0, f"requests were lost: {seen}")


def check(condition: object, failure: str) -> None:
    if not condition:
        raise FailedError(failure)
