from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from forebay_operator.manifests.covering import difference

_LIVE = {
    "metadata": {"labels": {"ours": "1", "theirs": "2"}},
    "spec": {
        "replicas": 2,
        "paused": False,
        "template": {"containers": [{"name": "server", "image": "a", "args": ["--x"], "env": [{"name": "A", "value": "b"}]}]},
    },
}


@pytest.mark.parametrize(
    ("wanted", "where"),
    [
        ({}, ""),
        ({"spec": {"replicas": 2}}, ""),
        ({"spec": {"replicas": 3}}, ".spec.replicas"),
        ({"metadata": {"labels": {"ours": "1"}}}, ""),
        ({"metadata": {"labels": {"ours": "0"}}}, ".metadata.labels.ours"),
        ({"spec": {"selector": {"a": "b"}}}, ".spec.selector"),
        ({"spec": {"selector": {}}}, ""),
        ({"spec": {"paused": 0}}, ".spec.paused"),
        ({"spec": {"template": {"containers": [{"name": "server", "image": "a"}]}}}, ""),
        (
            {"spec": {"template": {"containers": [{"name": "server", "image": "b"}]}}},
            ".spec.template.containers[server].image",
        ),
        ({"spec": {"template": {"containers": [{"name": "other"}]}}}, ".spec.template.containers[other]"),
        (
            {"spec": {"template": {"containers": [{"name": "server", "args": ["--y"]}]}}},
            ".spec.template.containers[server].args",
        ),
        ({"spec": {"template": {"containers": [{"name": "server", "env": [{"name": "A", "value": "b"}]}]}}}, ""),
    ],
)
def test_the_first_field_that_is_not_as_wanted_is_named(wanted: dict[str, Any], where: str) -> None:
    assert difference(_LIVE, wanted) == where


_json = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=10,
)


@given(st.dictionaries(st.text(max_size=3), _json, max_size=4), st.dictionaries(st.text(max_size=3), _json, max_size=4))
def test_an_object_covers_itself_and_itself_with_more(wanted: dict[str, Any], more: dict[str, Any]) -> None:
    assert not difference(wanted, wanted)
    assert not difference({**more, **wanted}, wanted)
