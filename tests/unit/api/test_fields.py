from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter

from api_examples import unhurried
from forebay_operator.api.fields import Timestamp, bytes_of, microseconds, seconds
from forebay_operator.api.spec import format_of


@pytest.mark.parametrize(
    ("duration", "expected"),
    [("60s", 60), ("5m", 300), ("1h30m", 5400), ("500ms", 0.5), ("100us", 0.0001), ("0s", 0), ("1h1m1s1ms1us", 3661.001001)],
)
def test_a_duration_is_so_many_seconds(duration: str, expected: float) -> None:
    assert seconds(duration) == pytest.approx(expected)


@pytest.mark.parametrize("text", ["", "5", "s", "1.5s", "-1s", "1s1m", "1d", "1s ", "1S"])
def test_what_is_no_duration_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="is no duration such as 60s"):
        microseconds(text)


PARTS = st.fixed_dictionaries({}, optional={unit: st.integers(0, 999_999) for unit in ("h", "m", "s", "ms", "us")})


@unhurried
@given(PARTS.filter(bool))
def test_a_duration_is_the_sum_of_its_parts(parts: dict[str, int]) -> None:
    each = {"h": timedelta(hours=1), "m": timedelta(minutes=1), "s": timedelta(seconds=1), "ms": timedelta(milliseconds=1)}
    each["us"] = timedelta(microseconds=1)
    text = "".join(f"{parts[unit]}{unit}" for unit in ("h", "m", "s", "ms", "us") if unit in parts)

    assert microseconds(text) == sum((each[unit] * count for unit, count in parts.items()), timedelta()) // timedelta(
        microseconds=1
    )


@pytest.mark.parametrize(
    ("quantity", "expected"),
    [
        ("4Gi", 4 << 30),
        ("500Mi", 500 << 20),
        ("1.5Gi", 3 << 29),
        ("16Ki", 16384),
        ("2Ti", 2 << 40),
        ("1", 1),
        (7, 7),
        ("500M", 500_000_000),
        ("1k", 1000),
        ("2G", 2_000_000_000),
        ("3T", 3_000_000_000_000),
        ("0.001Ki", 2),
        ("0.5", 1),
    ],
)
def test_a_quantity_is_so_many_bytes_rounded_up(quantity: int | str, expected: int) -> None:
    assert bytes_of(quantity) == expected


@pytest.mark.parametrize("text", ["", "4GB", "auto", "Gi", "-1Gi", "1 Gi", "4gi", "1.Gi"])
def test_what_is_no_quantity_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="is no quantity of memory such as 4Gi"):
        bytes_of(text)


MOMENTS = st.datetimes(min_value=datetime(1970, 1, 2), timezones=st.sampled_from([UTC, timezone(timedelta(hours=5))]))  # noqa: DTZ001  (Hypothesis wants it so)


@unhurried
@given(MOMENTS)
def test_a_moment_is_written_to_the_second_in_utc_and_read_back(moment: datetime) -> None:
    timestamps = TypeAdapter[datetime](Timestamp)
    written = timestamps.dump_json(moment)

    assert written.endswith(b'Z"')
    assert timestamps.validate_json(written, strict=True) == moment.replace(microsecond=0)


@pytest.mark.parametrize(
    ("uri", "expected"),
    [
        ("s3://m/a.onnx", "onnx"),
        ("/m/A.ONNX", "onnx"),
        ("https://m/a.joblib?v=1", "sklearn"),
        ("https://m/a.pkl#x", "sklearn"),
        ("a.pickle", "sklearn"),
        ("a.skops", "sklearn"),
        ("a.onnx.gz", None),
        ("data:a.onnx;base64,", None),
        ("onnx", None),
    ],
)
def test_the_end_of_a_uri_names_the_format(uri: str, expected: str | None) -> None:
    assert format_of(uri) == expected
