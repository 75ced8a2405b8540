"""What an administrator expects of every pod: those of the chart, and those that the operator makes as the chart tells it."""

import json
from collections.abc import Callable
from functools import cache

import pytest

from chart_operator import installation_of, operator_objects
from chart_rendering import VALUE_SETS, Json, containers, objects, operator_settings, pod_templates, render
from forebay_operator.manifests.pool import template
from kubernetes_builders import GPU, a_pool

READS_THE_API_SERVER = ("operator", "gateway")
_JOB = f"forebay-convert-{'c' * 16}-1"
_AUTOSCALER = "cluster-autoscaler.kubernetes.io"
_OUR_SECRETS = ("keys", "store-credentials", "store-reading-credentials", "token")
_SAFE_VOLUMES = {"configMap", "secret", "emptyDir", "persistentVolumeClaim", "downwardAPI"}


def _component(pod: Json) -> str:
    return str(pod["metadata"]["labels"]["app.kubernetes.io/component"])


def _runs_on(pod: Json) -> bool:
    return _component(pod) != "conversion"


def _has_a_token_only_where_it_is_needed(pod: Json) -> bool:
    return bool(pod["spec"]["automountServiceAccountToken"]) is (_component(pod) in READS_THE_API_SERVER)


def _is_not_root(pod: Json) -> bool:
    said = pod["spec"]["securityContext"]
    return said["runAsNonRoot"] is True and said.get("runAsUser", 1) > 0 and said.get("runAsGroup", 1) > 0


def _is_under_the_runtimes_seccomp_profile(pod: Json) -> bool:
    return bool(pod["spec"]["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"})


def _does_not_change_a_whole_volume_at_each_start(pod: Json) -> bool:
    return bool(pod["spec"]["securityContext"]["fsGroupChangePolicy"] == "OnRootMismatch")


def _runs_on_linux(pod: Json) -> bool:
    """In a cluster that has nodes of another system as well."""
    return bool(pod["spec"]["nodeSelector"]["kubernetes.io/os"] == "linux")


def _has_nothing_of_the_node(pod: Json) -> bool:
    spec = pod["spec"]
    shared = {"hostNetwork", "hostPID", "hostIPC", "shareProcessNamespace"} & spec.keys()
    kinds = {key for volume in spec["volumes"] for key in volume if key != "name"}
    ports = [port for each in containers(pod) for port in each.get("ports", []) if "hostPort" in port]
    return not shared and kinds <= _SAFE_VOLUMES and not ports


def _has_bounded_volumes(pod: Json) -> bool:
    return all("sizeLimit" in volume["emptyDir"] for volume in pod["spec"]["volumes"] if "emptyDir" in volume)


def _has_confined_containers(pod: Json) -> bool:
    confined = {"allowPrivilegeEscalation": False, "readOnlyRootFilesystem": True, "capabilities": {"drop": ["ALL"]}}
    return all(each["securityContext"] == confined for each in containers(pod))


def _asks_for_what_it_needs_and_is_bounded(pod: Json) -> bool:
    resources = [each["resources"] for each in containers(pod)]
    return all(each["requests"].keys() >= {"cpu", "memory"} and "memory" in each["limits"] for each in resources)


def _has_room_on_the_nodes_disk_that_is_bounded(pod: Json) -> bool:
    """What a conversion leaves on the disk has no other owner than the pod."""
    return _runs_on(pod) or all("ephemeral-storage" in each["resources"]["limits"] for each in containers(pod))


def _is_told_of_no_service(pod: Json) -> bool:
    return pod["spec"]["enableServiceLinks"] is False


def _says_when_images_are_pulled(pod: Json) -> bool:
    return all(each["imagePullPolicy"] in ("Always", "IfNotPresent", "Never") for each in containers(pod))


def _names_an_image_that_is_not_just_the_latest(pod: Json) -> bool:
    images = [each["image"].rpartition("/")[2] for each in containers(pod)]
    return all((":" in image or "@" in image) and not image.endswith(":latest") for image in images)


def _is_probed(pod: Json) -> bool:
    probes = {"startupProbe", "readinessProbe", "livenessProbe"}
    return not _runs_on(pod) or all(each.keys() >= probes for each in pod["spec"]["containers"])


def _says_why_it_ended(pod: Json) -> bool:
    """`kubectl describe` shows the last lines of its log."""
    return all(each.get("terminationMessagePolicy") == "FallbackToLogsOnError" for each in containers(pod))


def _keeps_no_node_from_being_taken_away(pod: Json) -> bool:
    """Cluster autoscalers leave nodes alone whose pods have an emptyDir, unless these say that it does not matter. What a
    conversion has done would be lost."""
    annotations = pod["metadata"]["annotations"]
    disposable = annotations.get(f"{_AUTOSCALER}/safe-to-evict-local-volumes", "").split(",")
    local = [volume["name"] for volume in pod["spec"]["volumes"] if "emptyDir" in volume]
    return sorted(disposable) == sorted(local) if _runs_on(pod) else annotations[f"{_AUTOSCALER}/safe-to-evict"] == "false"


def _shows_secrets_to_its_user_only(pod: Json) -> bool:
    """By the group of its volumes, where the cluster sets one."""
    may_read = 0o440 if "fsGroup" in pod["spec"]["securityContext"] else 0o444
    modes = [volume["secret"].get("defaultMode") for volume in pod["spec"]["volumes"] if volume["name"] in _OUR_SECRETS]
    return all(mode == may_read for mode in modes)


def _is_spread_over_nodes(pod: Json) -> bool:
    spec = pod["spec"]
    selected = [each["labelSelector"]["matchLabels"].items() for each in spec.get("topologySpreadConstraints", [])]
    finds_itself = [items <= pod["metadata"]["labels"].items() for items in selected]
    return not _runs_on(pod) or "affinity" in spec or (bool(finds_itself) and all(finds_itself))


def _is_labelled_as_recommended(pod: Json) -> bool:
    keys = {f"app.kubernetes.io/{name}" for name in ("name", "instance", "component", "part-of")}
    return pod["metadata"]["labels"].keys() >= keys and all(len(value) <= 63 for value in pod["metadata"]["labels"].values())


RULES: tuple[Callable[[Json], bool], ...] = (
    _has_a_token_only_where_it_is_needed,
    _is_not_root,
    _is_under_the_runtimes_seccomp_profile,
    _does_not_change_a_whole_volume_at_each_start,
    _runs_on_linux,
    _has_nothing_of_the_node,
    _has_bounded_volumes,
    _has_confined_containers,
    _asks_for_what_it_needs_and_is_bounded,
    _has_room_on_the_nodes_disk_that_is_bounded,
    _is_told_of_no_service,
    _says_when_images_are_pulled,
    _names_an_image_that_is_not_just_the_latest,
    _is_probed,
    _says_why_it_ended,
    _keeps_no_node_from_being_taken_away,
    _shows_secrets_to_its_user_only,
    _is_spread_over_nodes,
    _is_labelled_as_recommended,
)


@pytest.mark.parametrize("value_set", VALUE_SETS)
@pytest.mark.parametrize("rule", [pytest.param(each, id=each.__name__.strip("_").replace("_", "-")) for each in RULES])
def test_every_pod(rule: Callable[[Json], bool], value_set: str) -> None:
    pods = _pods(value_set)

    assert len(pods) >= 6, "operator, gateway, three kinds of server and conversions"
    assert [name for name, pod in pods.items() if not rule(pod)] == []


def _conversion(value_set: str) -> Json:
    return _pods(value_set)[_JOB]


@cache
def _pods(value_set: str) -> dict[str, Json]:
    made = objects(render(value_set))
    return dict(pod_templates(made)) | dict(pod_templates(operator_objects(installation_of(made))))


def test_what_serves_goes_before_what_converts() -> None:
    classes = {name: pod["spec"]["priorityClassName"] for name, pod in _pods("everything").items()}

    assert {name: each for name, each in classes.items() if each != "forebay-serving-10000"} == {
        _JOB: "forebay-conversions-minus-100"
    }


def test_models_may_not_change_what_an_installation_says_of_pods() -> None:
    installation = installation_of(objects(render("everything")))
    asked = {"labels": {"example.com/team": "other"}, "env": [{"name": "AWS_CA_BUNDLE", "value": "/scratch/mine"}]}
    made = template(a_pool(GPU, exclusive="a", template=json.dumps(asked)), installation).content

    assert made["metadata"]["labels"]["example.com/team"] == "ml"
    names = [each["name"] for each in made["spec"]["containers"][0]["env"]]
    assert len(names) == len(set(names)), "an API server takes each variable once"
    assert made["spec"]["nodeSelector"] == {
        "example.com/pool": "models",
        "kubernetes.io/os": "linux",
        "nvidia.com/gpu.product": "NVIDIA-L4",
    }


def test_what_opens_a_source_sees_no_variable_of_the_installation() -> None:
    conversion = _conversion("everything")

    seen = {each["name"]: "HTTPS_PROXY" in {entry["name"] for entry in each["env"]} for each in containers(conversion)}

    assert seen == {"fetch": True, "find": True, "convert": False, "publish": True}


def test_the_settings_are_those_of_the_chart() -> None:
    """The operator has no defaults of its own for what pods may take."""
    told = operator_settings(objects(render()))
    made = installation_of(objects(render()))

    assert (made.servers.limits, made.servers.requests) == (told["servers"]["limits"], told["servers"]["requests"])
    assert made.conversions.requests == told["conversions"]["requests"]
