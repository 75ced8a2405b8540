"""A store without room: the summary names cause and remedy, and making room is enough."""

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


def test_a_store_that_is_full_is_named_and_making_room_is_enough(objects: Objects, here: Site) -> None:
    objects.full.set()
    here.start_operator(store={"uri": "s3://store/forebay"}, settings={"serverIdleSeconds": 300, "serverStartSeconds": 300})
    here.start_kubelet()
    here.deploy("scaling", here.model_file())

    summary = here.wait_for_summary("scaling", "its conversion failed at publish", 180)

    assert "The store at s3://store/forebay is full" in summary
    assert "Make room in it, or have it enlarged" in summary
    assert objects.content == {}, "nothing is left half way"

    objects.full.clear()
    here.wait_until_ready("scaling", timeout_s=300)
