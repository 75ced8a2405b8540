import re

from hypothesis import given
from hypothesis import strategies as st

from forebay_operator.api.spec import OWN_SECRETS
from forebay_operator.domain.snapshot import ConversionId, DeviceClass, Pool
from forebay_operator.manifests import names

_LABEL = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?")
_LABEL_VALUE = re.compile(r"[A-Za-z0-9]([-A-Za-z0-9_.]*[A-Za-z0-9])?")


@st.composite
def pools(draw: st.DrawFn) -> Pool:
    product = draw(st.text(alphabet="ABCxyz019-_. ", min_size=1, max_size=63))
    device = DeviceClass(draw(st.sampled_from(["cpu", "gpu", "simulated"])), product, draw(st.integers(1, 2**40)))
    exclusive = draw(st.sampled_from(["", "a", "digits", "x" * 50]))
    return Pool(draw(st.sampled_from(["default", "n" * 63])), device, exclusive, draw(st.sampled_from(["", "{}"])))


@given(pools(), st.text(alphabet="0123456789abcdef", min_size=10, max_size=10))
def test_the_pods_of_a_pool_have_names_that_are_host_names(pool: Pool, template: str) -> None:
    name = names.pool_deployment(pool, template)
    pod = f"{name}-0123456789-abcde"
    assert len(pod) <= 63
    assert _LABEL.fullmatch(pod)


@given(pools(), pools())
def test_different_pools_have_different_deployments(one: Pool, other: Pool) -> None:
    same = names.pool_deployment(one, "0123456789") == names.pool_deployment(other, "0123456789")
    assert same == (one == other)


@given(pools())
def test_the_labels_of_a_pool_are_labels(pool: Pool) -> None:
    for value in names.labels(names.SERVER, names.slug(pool.exclusive or pool.device.name)).values():
        assert len(value) <= 63
        assert _LABEL_VALUE.fullmatch(value)
    assert _LABEL_VALUE.fullmatch(names.pool_digest(pool))


def test_the_job_of_an_attempt_has_room_for_the_names_of_its_pods() -> None:
    key = ConversionId("default", "f" * 64)
    assert len(f"{names.conversion_job(key, 10**6)}-abcde") <= 63
    assert len(names.conversion_label(key)) <= 63


def test_the_same_news_has_the_same_name() -> None:
    assert names.event("uid", "Scaled", "0 to 1") == names.event("uid", "Scaled", "0 to 1")
    assert names.event("uid", "Scaled", "0 to 1") != names.event("uid", "Scaled", "1 to 0")


def test_no_source_may_be_opened_with_a_secret_of_our_own() -> None:
    assert set(OWN_SECRETS) == {names.STORE_SECRET, names.STORE_READING_SECRET, names.TOKEN_SECRET}
