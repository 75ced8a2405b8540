"""What people are told of a refusal of the API server."""

import pytest

from forebay_operator.manifests.kinds import Ref
from forebay_operator.worlds.kubernetes.api_server import RefusedError
from forebay_operator.worlds.kubernetes.refusals import refusal, sentence

SERVICE = Ref("Service", "default", "digits")
QUOTA = 'pods "a" is forbidden: exceeded quota: tight, requested: pods=1, used: pods=3, limited: pods=3'
WEBHOOK = 'Internal error occurred: failed calling webhook "w.example.com": failed to call webhook: connection refused'
ROWS = [
    (RefusedError(409, "AlreadyExists", 'services "digits" already exists'), "rename the ModelDeployment, or delete what has"),
    (RefusedError(403, "Forbidden", QUOTA), "raise the ResourceQuota of the namespace"),
    (RefusedError(500, "InternalError", WEBHOOK), "see that it answers, or exempt Forebay's objects from it"),
    (RefusedError(400, "", 'admission webhook "w" denied the request: no'), "change what the webhook asks for"),
    (RefusedError(403, "Forbidden", 'violates PodSecurity "restricted"'), "allow it in the namespace's policy"),
    (RefusedError(500, "", "field not declared in schema"), "upgrade the CustomResourceDefinition"),
    (
        RefusedError(403, "Forbidden", "cannot create resource"),
        "grant the operator's service account what the chart grants it",
    ),
    (RefusedError(422, "Invalid", "field is immutable"), "delete the object, and it is made anew"),
    (
        RefusedError(422, "Invalid", "Forebay's operator did not make this object, and so may neither change nor delete it"),
        "rename the ModelDeployment, or delete what has its name",
    ),
    (RefusedError(503, "", "apiserver is shutting down"), "it is tried again by itself"),
]


@pytest.mark.parametrize(("error", "remedy"), ROWS, ids=lambda value: str(value)[:40])
def test_a_refusal_is_told_with_its_cause_and_a_remedy(error: RefusedError, remedy: str) -> None:
    told = sentence(SERVICE, error)
    assert told.startswith("the API server refused Service default/digits: ")
    assert error.message[:30] in told
    assert remedy in told


def test_what_is_refused_again_and_again_is_tried_ever_more_rarely() -> None:
    error = RefusedError(403, "Forbidden", QUOTA)
    assert [refusal(SERVICE, error, count, 100.0).again_at for count in (1, 2, 3, 20)] == [101.0, 102.0, 104.0, 220.0]
