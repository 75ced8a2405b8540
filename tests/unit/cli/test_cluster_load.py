"""The load that gateways tell of, added up and shown."""

from typing import cast

from domain_builders import DIGITS, a_deployment
from forebay_operator.cli.cluster.api import ClusterApi
from forebay_operator.cli.cluster.load import GatewayLoad, Load, load_in
from forebay_operator.cli.cluster.picture import picture
from forebay_operator.cli.connection import CommandError
from forebay_operator.cli.top import rates
from forebay_operator.manifests.kinds import PODS, Json
from forebay_schema.addresses import ModelAddress
from kubernetes_builders import an_object

ONE = """\
# HELP forebay_gateway_arrivals_total Requests that came, each counted once.
# TYPE forebay_gateway_arrivals_total counter
forebay_gateway_arrivals_total{namespace="default",model="digits"} 100
forebay_gateway_arrivals_total{namespace="other",model="digits"} 7
forebay_gateway_held{namespace="default",model="digits"} 2
forebay_gateway_held_bytes{namespace="default",model="digits"} 900
forebay_gateway_in_flight{namespace="default",model="digits"} 5
"""
OTHER = """\
forebay_gateway_arrivals_total{namespace="default",model="digits"} 50
forebay_gateway_held{namespace="default",model="digits"} 1
"""


def test_the_load_of_two_gateways_adds_up() -> None:
    assert load_in([ONE, OTHER]) == {
        ModelAddress("default", "digits"): Load(arrivals=150, held=3, in_flight=5),
        ModelAddress("other", "digits"): Load(arrivals=7),
    }


def test_what_has_arrived_and_waits_nowhere_has_its_answer() -> None:
    (model,) = picture([a_deployment()], [], {DIGITS: Load(arrivals=150, held=3, in_flight=5)}, 0.0)["models"]

    assert (model["held"], model["executing"], model["arrivals"], model["completed"]) == (3, 5, 150, 142)


def test_a_model_that_nobody_asked_for_has_no_load_and_one_that_nobody_knows_of_no_figures() -> None:
    (quiet,) = picture([a_deployment()], [], {}, 0.0)["models"]
    (unknown,) = picture([a_deployment()], [], None, 0.0)["models"]

    assert (quiet["held"], quiet["arrivals"]) == (0, 0)
    assert (unknown["held"], unknown["arrivals"]) == (None, None)


class Gateways:
    """A cluster with one gateway, which answers or does not."""

    def __init__(self) -> None:
        self.pages: list[str | None] = []
        self.asked = 0

    def all(self, path: str, **_: str) -> list[Json]:
        state = {"name": "gateway", "state": {"running": {}}}
        return [an_object(PODS, path.rpartition("/")[2], status={"podIP": "10.0.0.1", "containerStatuses": [state]})]

    def page_of_pod(self, *_: object) -> str:
        self.asked += 1
        page = self.pages.pop(0)
        if page is None:
            raise CommandError("the gateway does not answer")
        return page


def test_a_gateway_that_starts_again_is_asked_again_and_one_that_stays_away_is_not() -> None:
    cluster = Gateways()
    load = GatewayLoad(cast("ClusterApi", cluster))
    cluster.pages = [None, ONE, None, None, None]
    assert [load.of("forebay") is not None for _ in range(7)] == [False, True, False, False, False, False, False]
    assert cluster.asked == 5


def test_a_gateway_that_goes_makes_no_rate_negative() -> None:
    before = picture([a_deployment()], [], {DIGITS: Load(arrivals=150)}, 0.0)
    now = picture([a_deployment()], [], {DIGITS: Load(arrivals=50)}, 2.0)

    assert rates(before, now, now["models"][0]).arrivals_per_s == 0
