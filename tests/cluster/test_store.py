"""A store that lets nobody in, and then has no room: the summary names cause and remedy, and mending it is enough."""

from collections.abc import Iterator

import pytest

from cluster_site import Site
from convert_servers import Objects, object_server


@pytest.fixture
def objects(monkeypatch: pytest.MonkeyPatch) -> Iterator[Objects]:
    """An object store that everything finds by its environment, as where a cloud gives rights to pods."""
    with object_server() as made:
        monkeypatch.setenv("AWS_ENDPOINT_URL", made.url)
        monkeypatch.setenv("AWS_ACCESS_KEY_ID", "key")
        monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
        monkeypatch.setenv("AWS_DEFAULT_REGION", "eu-central-1")
        monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")
        yield made


def test_a_store_that_is_closed_and_then_full_is_named_and_mending_it_is_enough(objects: Objects, here: Site) -> None:
    objects.forbidden.set()
    here.start_operator(store={"uri": "s3://store/forebay"}, settings={"serverIdleSeconds": 300, "serverStartSeconds": 300})
    here.start_kubelet()
    here.deploy("scaling", here.model_file())
    summary = here.wait_for_summary("scaling", "The store at s3://store/forebay cannot be used")
    assert "that this process may write to it" in summary

    # It is tried again by itself.
    objects.full.set()
    objects.forbidden.clear()
    summary = here.wait_for_summary("scaling", "The store at s3://store/forebay is full")
    assert "Make room in it, or have it enlarged" in summary
    assert objects.content == {}, "nothing is left half way"

    # And at once if somebody says so.
    objects.full.clear()
    refresh = {"metadata": {"annotations": {"forebay.dev/refresh": "now"}}}
    here.api.merge(here.path("modeldeployments", "scaling"), refresh)
    here.wait_until_ready("scaling")
