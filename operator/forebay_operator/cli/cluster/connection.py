"""A cluster, as commands see it: what its API server lets this user see and do."""

import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, Final, Self

from forebay_operator.api.loading import load_text
from forebay_operator.api.v1alpha1 import ModelDeployment
from forebay_operator.cli.cluster.access import access
from forebay_operator.cli.cluster.api import ClusterApi, HiddenError, NotThereError
from forebay_operator.cli.cluster.explanation import explain
from forebay_operator.cli.cluster.gathering import SERVERS, deployment_of, find_object, gather, servers_among
from forebay_operator.cli.cluster.load import GatewayLoad
from forebay_operator.cli.cluster.logs import PodLogs
from forebay_operator.cli.cluster.picture import picture
from forebay_operator.cli.connection import NOT_THERE, CommandError, Details, Json, Text, Verdict
from forebay_operator.cli.examples import Target, curl_line
from forebay_operator.domain.deployment import Deployment
from forebay_operator.manifests.kinds import MODEL_DEPLOYMENTS, PODS, SERVICES
from forebay_operator.worlds.explanation import Chapter
from forebay_operator.worlds.kubernetes.store import Seen
from forebay_schema.addresses import ModelAddress

_PERIOD_S: Final = 2.0
_MOST_ASKED: Final = 3
"""Services at which the gateways' namespace is looked up."""
_HTTP, _GRPC = 8000, 8001
_METADATA: Final = ("name", "namespace", "labels", "annotations")


class ClusterConnection:
    """Asks an API server, and nobody else."""

    def __init__(self, api: ClusterApi, namespace: str) -> None:
        self._api = api
        self.namespace = namespace

    @classmethod
    def open(cls, kubeconfig: Path | None, context: str | None) -> Self:
        """The cluster of a kubeconfig's context.

        Raises:
            CommandError: there is no such kubeconfig or context.
        """
        found = access(kubeconfig, context)
        return cls(ClusterApi(found), found.namespace)

    def scope(self, namespace: str | None, *, everywhere: bool) -> str | None:
        return None if everywhere else namespace or self.namespace

    def objects(self, namespace: str | None) -> Sequence[Json]:
        found = self._api.all(MODEL_DEPLOYMENTS.path(namespace or ""))
        return sorted(found, key=lambda each: (each["metadata"]["namespace"], each["metadata"]["name"]))

    def details(self, address: ModelAddress) -> Details:
        content = find_object(self._api, address)
        inputs = content["spec"]["model"].get("inputs") or []
        tensors = [f"{'input':<12}{each['name']}  {each['dtype']}  {each['shape']}" for each in inputs]
        return Details(content, tensors=tensors, requests=self._requests(address, inputs))

    def explanation(self, address: ModelAddress) -> Sequence[Chapter]:
        return explain(gather(self._api, address), time.time())

    def logs(self, address: ModelAddress) -> Callable[[], Sequence[str]]:
        reader = PodLogs(self._api, address.name)
        return lambda: reader.more(gather(self._api, address))

    def pictures(self, namespace: str | None) -> Iterator[Json]:
        asked = GatewayLoad(self._api)
        gateways = ""
        while True:
            deployments = [deployment_of(each) for each in self.objects(namespace)]
            gateways = gateways or self._gateways(deployments)
            load = asked.of(gateways) if gateways else None
            yield picture(deployments, self._server_pods(namespace), load, time.time())
            time.sleep(_PERIOD_S)

    def apply(self, texts: Sequence[Text], namespace: str | None) -> Verdict:
        outcomes: list[tuple[str, str]] = []
        problems: list[str] = []
        for text in texts:
            loaded = load_text(text.text, text.name, Path(text.folder), namespace or self.namespace)
            problems += map(str, loaded.problems)
            for wanted in loaded.objects:
                place = str(loaded.origins[wanted.address])
                try:
                    _check_sources(wanted)
                    outcomes.append((str(wanted.address), self._apply(wanted)))
                except CommandError as error:
                    problems.append(f"{place}: {error}")
        return Verdict(outcomes, problems)

    def delete(self, address: ModelAddress) -> str:
        find_object(self._api, address)
        try:
            self._api.delete(MODEL_DEPLOYMENTS.path(address.namespace, address.name))
        except NotThereError:
            raise CommandError(f"there is no ModelDeployment {address} any more", NOT_THERE) from None
        return ""

    def _apply(self, wanted: ModelDeployment) -> str:
        """Only what was written: what was left to defaults belongs to nobody."""
        written = wanted.model_dump(mode="json", by_alias=True, exclude_unset=True, exclude_none=True)
        metadata = {name: written["metadata"][name] for name in _METADATA if name in written["metadata"]}
        body = {"apiVersion": wanted.api_version, "kind": wanted.kind, "metadata": metadata, "spec": written["spec"]}
        path = MODEL_DEPLOYMENTS.path(wanted.address.namespace, wanted.address.name)
        before = self._version(path)
        after = self._api.apply(path, body)["metadata"]["resourceVersion"]
        if before is None:
            return "created"
        return "unchanged" if before == after else "configured"

    def _version(self, path: str) -> str | None:
        try:
            return str(self._api.get(path)["metadata"]["resourceVersion"])
        except NotThereError:
            return None

    def _server_pods(self, namespace: str | None) -> list[Seen]:
        try:
            found = self._api.all(PODS.path(namespace or ""), labelSelector=SERVERS)
            return servers_among(Seen.of(each) for each in found)
        except HiddenError:
            return []

    def _requests(self, address: ModelAddress, inputs: Sequence[dict[str, Any]]) -> list[str]:
        host = f"{address.name}.{address.namespace}"
        lines = [
            f"From a pod of the cluster it is asked at {host}, by HTTP on port {_HTTP}, by gRPC on port {_GRPC}:",
            *("", f"curl -s http://{host}:{_HTTP}/v2/models/{address.name}", ""),
        ]
        gateway = self._gateway(address)
        if not gateway:
            return lines
        service, namespace = gateway
        return [
            *lines,
            *("From here, through a port that is forwarded:", ""),
            f"kubectl port-forward --namespace {namespace} service/{service} {_HTTP} {_GRPC}",
            f"curl -s -H 'Host: {host}' http://127.0.0.1:{_HTTP}/v2/models/{address.name}",
            *_inference(address, inputs),
        ]

    def _gateways(self, deployments: Sequence[Deployment]) -> str:
        """The namespace of the gateways; empty: no model has its Service yet, or nobody may see it."""
        found = next(filter(None, (self._gateway(each.address) for each in deployments[:_MOST_ASKED])), None)
        return found[1] if found else ""

    def _gateway(self, address: ModelAddress) -> tuple[str, str] | None:
        """The gateway's Service and namespace, as the model's own Service names it."""
        try:
            service = self._api.get(SERVICES.path(address.namespace, address.name))
        except (HiddenError, NotThereError):
            return None
        name, _, rest = str((service.get("spec") or {}).get("externalName", "")).partition(".")
        namespace = rest.partition(".")[0]
        return (name, namespace) if name and namespace else None


def _inference(address: ModelAddress, inputs: Sequence[dict[str, Any]]) -> list[str]:
    """A request that works, where the object says what the model takes."""
    if not inputs:
        return ["", "That names its inputs and outputs; `/infer` at the end of the path takes requests, by any Triton client."]
    tensors = [{"name": each["name"], "datatype": each["dtype"], "shape": each["shape"]} for each in inputs]
    target = Target(
        namespace=address.namespace,
        name=address.name,
        http_port=_HTTP,
        grpc_port=_GRPC,
        inputs=tensors,
        output="",
        batching=True,
        by_host=True,
    )
    return [curl_line(target)]


def _check_sources(wanted: ModelDeployment) -> None:
    """Refuse files of this machine: no pod sees them."""
    samples = wanted.spec.verification.samples
    sources = {
        "spec.model.source.uri": wanted.spec.model.source.uri,
        "spec.verification.samples.uri": samples.uri if samples else "",
    }
    for field, uri in sources.items():
        if uri.startswith("/") and Path(uri).is_file():
            raise CommandError(
                f"{field}: {uri} is a file of this machine, which the cluster cannot read: put it where it can (s3://, https://),"
                " write a small one into the object (data:;base64,…), or write file:// before a path of the cluster's volumes"
            )
