import pytest
from hypothesis import given
from hypothesis import strategies as st

from forebay_operator.manifests.quantities import canonical, mebibytes, whole


@pytest.mark.parametrize(
    ("written", "kept"),
    [
        ("1000m", "1"),
        ("500m", "500m"),
        ("0.5", "500m"),
        (2, "2"),
        ("2", "2"),
        ("1024Mi", "1Gi"),
        ("1.5Gi", "1536Mi"),
        ("4Gi", "4Gi"),
        ("500M", "500M"),
        ("1000M", "1G"),
        ("2000", "2k"),
        ("0", "0"),
        ("0Gi", "0"),
        ("auto", "auto"),
    ],
)
def test_quantities_are_written_as_api_servers_keep_them(written: int | str, kept: str) -> None:
    assert canonical(written) == kept


@given(st.integers(0, 2**50), st.sampled_from(["", "m", "Ki", "Mi", "Gi", "k", "M", "G"]))
def test_what_is_canonical_stays_as_it_is(number: int, unit: str) -> None:
    once = canonical(f"{number}{unit}")
    assert canonical(once) == once


def test_bytes_are_rounded_up_to_whole_mebibytes() -> None:
    assert mebibytes((1 << 30) + 1) == "1025Mi"
    assert mebibytes(5 << 30) == "5Gi"


@pytest.mark.parametrize(
    ("quantity", "number"),
    [("4Gi", 4 << 30), ("1.5Gi", 3 << 29), ("512M", 512_000_000), ("250m", 1), ("7", 7), ("much", None)],
)
def test_a_quantity_stands_for_a_number(quantity: str, number: int | None) -> None:
    assert whole(quantity) == number
