import json

import pytest

from forebay_schema.demand import DemandLine, ModelDemand
from forebay_schema.documents import DocumentError
from forebay_schema.routes import RouteTable

LINE = DemandLine(gateway="g1", sequence=3, models=(ModelDemand(namespace="default", name="digits", held=2),))


def test_a_document_is_read_back_as_it_was_written() -> None:
    assert DemandLine.from_json(LINE.to_json()) == LINE


def test_a_document_says_which_contract_it_follows() -> None:
    assert json.loads(LINE.to_json())["schema"] == "forebay.dev/demand/v1"


def test_fields_that_a_newer_writer_added_are_ignored() -> None:
    newer = json.loads(LINE.to_json()) | {"colour": "blue"}

    assert DemandLine.from_json(json.dumps(newer)) == LINE


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "expected a JSON document of forebay.dev/demand/v1"),
        ("[]", "expected a JSON object of forebay.dev/demand/v1, got list"),
        ("{}", "found schema None"),
        (RouteTable().to_json(), "found schema 'forebay.dev/route-table/v1'"),
        ('{"schema": "forebay.dev/demand/v2"}', "upgrade the older side"),
        ('{"schema": "forebay.dev/demand/v1"}', "not a valid forebay.dev/demand/v1"),
    ],
)
def test_what_cannot_be_read_is_refused_with_a_sentence(text: str, message: str) -> None:
    with pytest.raises(DocumentError, match=message):
        DemandLine.from_json(text)
