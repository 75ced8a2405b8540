"""The load that gateways tell of, added up and shown."""

from domain_builders import DIGITS, a_deployment
from forebay_operator.cli.cluster.load import Load, load_in
from forebay_operator.cli.cluster.picture import picture
from forebay_operator.cli.top import rates
from forebay_schema.addresses import ModelAddress

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


def test_a_gateway_that_goes_makes_no_rate_negative() -> None:
    before = picture([a_deployment()], [], {DIGITS: Load(arrivals=150)}, 0.0)
    now = picture([a_deployment()], [], {DIGITS: Load(arrivals=50)}, 2.0)

    assert rates(before, now, now["models"][0]).arrivals_per_s == 0
