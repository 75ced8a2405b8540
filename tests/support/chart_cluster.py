"""What tests of the chart do with an API server: kubectl, questions about rights, and the operator's own account."""

import json
import subprocess
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import yaml

from chart_rendering import NAMESPACE, PLAIN, Json, find, objects, program
from cluster_api import PATIENCE_S, Api
from cluster_control_plane import Access

OPERATOR: Final = "forebay-operator"
_RIGHTS: Final = "/apis/rbac.authorization.k8s.io/v1"
_ADMISSION: Final = "/apis/admissionregistration.k8s.io/v1"
_PLURALS: Final = {
    "ValidatingAdmissionPolicy": "validatingadmissionpolicies",
    "ValidatingAdmissionPolicyBinding": "validatingadmissionpolicybindings",
}


def kubectl(access: Access, *arguments: str, given: str = "") -> subprocess.CompletedProcess[str]:
    """Run kubectl as an administrator; it has to succeed. `given`: its standard input."""
    path = program("kubectl", "put it on the PATH")
    command = [path, f"--kubeconfig={access.kubeconfig}", *arguments]
    made = subprocess.run(command, input=given, capture_output=True, text=True, timeout=PATIENCE_S, check=False)
    assert made.returncode == 0, made.stderr
    return made


def text_of(manifests: Sequence[Json]) -> str:
    """As kubectl reads them. JSON: the YAML of Python takes a digest such as 1e10 for a text, that of Go for a number."""
    return "\n---\n".join(json.dumps(each) for each in manifests)


def create(access: Access, manifests: Sequence[Json]) -> None:
    kubectl(access, "create", "--validate=strict", "-f", "-", given=text_of(manifests))


@dataclass(frozen=True, slots=True)
class Ask:
    """May it? `what`: `RESOURCE.GROUP/SUBRESOURCE`, both of the latter where there are any. No namespace: of none."""

    verb: str
    what: str
    namespace: str = ""
    name: str = ""

    def review(self, account: str) -> Json:
        """For an account, `NAMESPACE:NAME`."""
        kind, _, subresource = self.what.partition("/")
        resource, _, group = kind.partition(".")
        attributes = {
            "verb": self.verb,
            "group": group,
            "resource": resource,
            "subresource": subresource,
            "namespace": self.namespace,
            "name": self.name,
        }
        groups = ["system:serviceaccounts", f"system:serviceaccounts:{account.partition(':')[0]}", "system:authenticated"]
        return {
            "apiVersion": "authorization.k8s.io/v1",
            "kind": "SubjectAccessReview",
            "spec": {"user": f"system:serviceaccount:{account}", "groups": groups, "resourceAttributes": attributes},
        }


def allowed(api: Api, account: str, asks: Sequence[Ask]) -> list[Ask]:
    """What of all this an account (`NAMESPACE:NAME`) may do."""
    path = "/apis/authorization.k8s.io/v1/subjectaccessreviews"
    return [ask for ask in asks if api.create(path, ask.review(account))["status"]["allowed"]]


def operator_roles() -> list[Json]:
    """The operator's roles. Read off the plain manifests, which need no helm and are checked against the chart."""
    made = objects((PLAIN / "forebay.yaml").read_text(encoding="utf-8"))
    return [find(made, kind, OPERATOR) for kind in ("ClusterRole", "Role")]


def granted(roles: Sequence[Json]) -> Iterator[tuple[str, str, str]]:
    """Verb, what (as in `Ask`), and the name that it is limited to, of everything that roles grant."""
    for role in roles:
        for rule in role["rules"]:
            for group in rule["apiGroups"]:
                for resource in rule["resources"]:
                    for verb in rule["verbs"]:
                        yield from ((verb, what(resource, group), name) for name in rule.get("resourceNames", [""]))


def what(resource: str, group: str) -> str:
    kind, slash, subresource = resource.partition("/")
    return f"{kind}{'.' if group else ''}{group}{slash}{subresource}"


def admission_objects(namespace: str) -> Iterator[tuple[str, Json]]:
    """The policies for the operator that runs in this namespace, and their bindings; each with its plural."""
    account = "system:serviceaccount:{}:"
    plain = (PLAIN / "forebay.yaml").read_text(encoding="utf-8")
    made = objects(plain.replace(account.format(NAMESPACE), account.format(namespace)))
    for each in made:
        if each["kind"].startswith("ValidatingAdmissionPolicy"):
            each["metadata"]["name"] += f"-{namespace}"
            if "policyName" in each["spec"]:
                each["spec"]["policyName"] += f"-{namespace}"
            yield _PLURALS[each["kind"]], each


def operator_access(access: Access, namespace: str, folder: Path) -> Access:
    """The cluster as the operator of the chart sees it that runs in this namespace: with its account, its rights only, and the
    policies that bind it."""
    account = {"kind": "ServiceAccount", "name": OPERATOR, "namespace": namespace}
    accounts = f"/api/v1/namespaces/{namespace}/serviceaccounts"
    access.api.create(accounts, {"metadata": {"name": OPERATOR}})
    for role in operator_roles():
        kind = role["kind"]
        own = {**role, "metadata": {"name": f"{OPERATOR}-{namespace}"}}
        reference = {"apiGroup": "rbac.authorization.k8s.io", "kind": kind, "name": own["metadata"]["name"]}
        binding = {"metadata": own["metadata"], "roleRef": reference, "subjects": [account]}
        place = _RIGHTS if kind == "ClusterRole" else f"{_RIGHTS}/namespaces/{namespace}"
        access.api.create(f"{place}/{kind.lower()}s", own)
        access.api.create(f"{place}/{kind.lower()}bindings", binding)
    for plural, policy in admission_objects(namespace):
        access.api.create(f"{_ADMISSION}/{plural}", policy)
    asked = access.api.create(f"{accounts}/{OPERATOR}/token", {"spec": {"expirationSeconds": 3600}})
    return Access(_kubeconfig(access, asked["status"]["token"], folder), access.api)


def _kubeconfig(access: Access, token: str, folder: Path) -> Path:
    config: Json = yaml.safe_load(access.kubeconfig.read_text(encoding="utf-8"))
    config["users"] = [{"name": each["name"], "user": {"token": token}} for each in config["users"]]
    path = folder / "operator.kubeconfig"
    path.write_text(json.dumps(config), encoding="utf-8")
    return path


def forget_operator_access(access: Access, namespace: str) -> None:
    """Take its cluster-wide rights away again, and its policies."""
    for kind in ("clusterroles", "clusterrolebindings"):
        access.api.delete(f"{_RIGHTS}/{kind}/{OPERATOR}-{namespace}")
    for plural, policy in admission_objects(namespace):
        access.api.delete(f"{_ADMISSION}/{plural}/{policy['metadata']['name']}")


def calls_of(audit_log: Path, account: str) -> Iterator[tuple[str, str, int]]:
    """Verb, what and status of every call that an account (`NAMESPACE:NAME`) has made."""
    for line in audit_log.read_text(encoding="utf-8").splitlines():
        entry: Json = json.loads(line)
        if entry["user"]["username"] == f"system:serviceaccount:{account}" and "objectRef" in entry:
            yield entry["verb"], _what_of(entry["objectRef"]), int(entry.get("responseStatus", {}).get("code", 0))


def _what_of(reference: Json) -> str:
    subresource = reference.get("subresource", "")
    path = f"{reference['resource']}/{subresource}" if subresource else reference["resource"]
    return what(path, reference.get("apiGroup", ""))
