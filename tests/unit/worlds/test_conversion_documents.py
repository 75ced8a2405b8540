import pytest

from forebay_operator.domain.actions import StartConversion
from forebay_operator.domain.deployment import Source, TensorShape, Verification
from forebay_operator.domain.routes import Endpoint, Route, RouteState, WeightedVersion
from forebay_operator.domain.snapshot import ConversionFailure, ConversionId
from forebay_operator.domain.status import Artifact
from forebay_operator.worlds.conversion_documents import order_of, outcome_of
from forebay_operator.worlds.local.route_documents import route_table
from forebay_schema import conversion as documents
from forebay_schema.addresses import ModelAddress
from forebay_schema.manifest import Verification as Verified

DIGITS = ModelAddress("default", "digits")


def test_an_order_says_all_that_the_step_said() -> None:
    action = StartConversion(
        id=ConversionId("team", "abc"),
        attempt=1,
        source=Source(uri="/m.joblib", sha256="00", format="sklearn", inputs=(TensorShape("image", "FP32", (-1, 64)),)),
        verification=Verification(samples_uri="/s.npz", min_accuracy=0.95),
        max_batch_size=16,
    )

    order = order_of(action, "/store", trust_source=False)

    assert (order.namespace, order.store, order.options.max_batch_size) == ("team", "/store", 16)
    assert order.options.source.inputs[0].shape == (-1, 64)
    assert (order.options.verification.samples_uri, order.options.verification.min_accuracy) == ("/s.npz", 0.95)


def test_a_result_becomes_an_artifact() -> None:
    verified = Verified(samples=10, samples_from="drawn", max_relative_error=1e-6, agreement=1.0)
    result = documents.ConversionResult(artifact="abc", size_bytes=3, verification=verified, memory_bytes=5, batching=False)

    outcome = outcome_of(result)

    assert isinstance(outcome, Artifact)
    assert (outcome.digest, outcome.memory_bytes, outcome.batching, outcome.verification.samples_drawn) == (
        "abc",
        5,
        False,
        True,
    )


@pytest.mark.parametrize(
    ("result", "retryable"),
    [
        (documents.ConversionResult(), True),
        (
            documents.ConversionResult(failure=documents.ConversionFailure(stage="load", cause="No ONNX.", remedy="Mend.")),
            False,
        ),
    ],
)
def test_a_result_without_an_artifact_is_a_failure(result: documents.ConversionResult, *, retryable: bool) -> None:
    outcome = outcome_of(result)

    assert isinstance(outcome, ConversionFailure)
    assert outcome.retryable is retryable


def test_the_same_routes_have_the_same_digest_and_others_another() -> None:
    ready = WeightedVersion(2, 100, (Endpoint("127.0.0.1", 1, 2),))
    routed = Route(address=DIGITS, state=RouteState.ROUTED, versions=(ready,))
    held = Route(address=DIGITS, state=RouteState.HELD)

    assert route_table([routed], 45).digest() == route_table([routed], 45).digest()
    assert route_table([routed], 45).digest() != route_table([held], 45).digest()
    assert route_table([routed], 45).routes[0].versions[0].endpoints[0].grpc == 2
