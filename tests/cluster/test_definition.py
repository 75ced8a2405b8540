"""The definition and its rules, as a real API server understands them."""

import contextlib
import os
from collections.abc import Generator, Iterator
from pathlib import Path

import pytest
import yaml

from api_cases import ACCEPTED, REFUSED, Accepted, Refused
from cluster_api import ApiError, Json
from cluster_control_plane import Access
from cluster_site import Site, site

_STRICT = "fieldValidation=Strict&dryRun=All"
_EXAMPLE = Path(__file__).parents[2] / "examples" / "digits.yaml"


@pytest.fixture(scope="module")
def here(cluster: Access, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """One namespace for the whole table: nothing stays in it."""
    with site(cluster, f"definition-{os.getpid()}", tmp_path_factory.mktemp("definition")) as made:
        yield made


@contextlib.contextmanager
def _before(here: Site, case: Accepted | Refused) -> Generator[str]:
    """The path and verb for an object: a new one, or a change of one that is there."""
    path = here.path("modeldeployments")
    if case.before is None:
        yield path
        return
    name = case.before["metadata"]["name"]
    here.api.create(f"{path}?fieldValidation=Strict", case.before)
    try:
        yield f"{path}/{name}"
    finally:
        here.api.delete(f"{path}/{name}")


def _send(here: Site, path: str, content: Json, *, is_change: bool) -> None:
    if is_change:
        version = here.api.get(path)["metadata"]["resourceVersion"]
        changed = {**content, "metadata": {**content["metadata"], "resourceVersion": version}}
        here.api.call("PUT", f"{path}?{_STRICT}", changed)
    else:
        here.api.create(f"{path}?{_STRICT}", content)


@pytest.mark.parametrize("case", ACCEPTED, ids=lambda case: case.name)
def test_the_api_server_accepts_what_our_own_tools_accept(here: Site, case: Accepted) -> None:
    with _before(here, case) as path:
        _send(here, path, case.object, is_change=case.before is not None)


@pytest.mark.parametrize("case", REFUSED, ids=lambda case: case.name)
def test_the_api_server_refuses_what_our_own_tools_refuse(here: Site, case: Refused) -> None:
    with _before(here, case) as path, pytest.raises(ApiError) as refused:
        _send(here, path, case.object, is_change=case.before is not None)
    assert (case.server or case.message) in refused.value.message


def test_scale_changes_the_replicas_of_a_fixed_model_and_is_refused_for_a_scaled_one(here: Site) -> None:
    here.deploy("fixed", "s3://models/a.onnx")
    here.deploy("scaled", "s3://models/a.onnx", autoscaling={"maxReplicas": 3})
    path = here.path("modeldeployments")
    here.api.merge(f"{path}/fixed/scale", {"spec": {"replicas": 3}})
    assert here.api.get(f"{path}/fixed")["spec"]["replicas"] == 3
    with pytest.raises(ApiError) as refused:
        here.api.merge(f"{path}/scaled/scale", {"spec": {"replicas": 3}})
    assert "replicas and autoscaling exclude each other" in refused.value.message


def test_the_example_that_is_applied_as_it_is_passes(here: Site) -> None:
    here.api.create(f"{here.path('modeldeployments')}?{_STRICT}", yaml.safe_load(_EXAMPLE.read_text(encoding="utf-8")))
