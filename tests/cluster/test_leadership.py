"""Two operators: one acts, the other takes over."""

from cluster_api import eventually
from cluster_site import Site

_LEADS = "this operator leads"


def test_one_of_two_operators_acts_and_the_other_takes_over(here: Site) -> None:
    first = here.start_operator("operator-1")
    second = here.make_operator("operator-2")
    second.wait_until_it_says("everything was seen")
    assert not second.said(_LEADS)
    here.deploy("one", "s3://models/one.onnx")
    here.wait_for_summary("one", "it is being converted")
    assert _holder(here) == "operator-1"

    first.stop()
    second.wait_until_it_acts()
    assert _holder(here) == "operator-2"
    here.deploy("two", "s3://models/two.onnx")
    here.wait_for_summary("two", "it is being converted")

    first.start()
    first.wait_until_it_says("everything was seen")
    assert not first.said(_LEADS)
    second.kill()
    first.wait_until_it_acts()
    assert _holder(here) == "operator-1"
    here.deploy("three", "s3://models/three.onnx")
    here.wait_for_summary("three", "it is being converted")


def test_an_operator_whose_lease_is_taken_or_deleted_stops_acting(here: Site) -> None:
    operator = here.start_operator()
    lease = here.path("leases", f"forebay-{here.namespace}")
    here.api.merge(lease, {"metadata": {"labels": {"whose": "others"}}, "spec": {"holderIdentity": "somebody-else"}})
    operator.wait_until_it_says("this operator leads no more")
    # Nobody renews it, so it is free again after its duration.
    eventually(lambda: _holder(here) == "operator-1", "the operator does not lead again")
    assert here.api.get(lease)["metadata"]["labels"] == {"whose": "others"}
    here.api.delete(lease)
    eventually(lambda: here.api.find(lease) is not None, "the Lease is not made again")
    eventually(lambda: _holder(here) == "operator-1", "the operator does not lead again")


def _holder(here: Site) -> str:
    lease = here.api.find(here.path("leases", f"forebay-{here.namespace}")) or {}
    return str(lease.get("spec", {}).get("holderIdentity", ""))
