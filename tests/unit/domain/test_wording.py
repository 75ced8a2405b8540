import pytest

from forebay_operator.domain import wording

GIB = 1 << 30


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0, "0 B"),
        (17, "17 B"),
        (3 * 1024, "3 KiB"),
        (512 << 20, "512 MiB"),
        (8 * GIB, "8.0 GiB"),
        (int(1.25 * GIB), "1.2 GiB"),
    ],
)
def test_bytes_have_the_unit_that_a_reader_expects(value: int, text: str) -> None:
    assert wording.bytes_text(value) == text


@pytest.mark.parametrize(
    ("value", "text"), [(0.42, "0.4 s"), (3.0, "3 s"), (12.3, "12 s"), (119, "119 s"), (300, "5 min"), (7200, "2 h")]
)
def test_durations_are_rounded_to_what_matters(value: float, text: str) -> None:
    assert wording.seconds_text(value) == text


@pytest.mark.parametrize(("value", "text"), [(0.42, "0.4/s"), (9.96, "10.0/s"), (120.4, "120/s")])
def test_rates_are_rounded_to_what_matters(value: float, text: str) -> None:
    assert wording.rate_text(value) == text


def test_numbers_agree_with_their_nouns() -> None:
    assert wording.counted(1, "replica") == "1 replica"
    assert wording.counted(2, "replica") == "2 replicas"
    assert wording.counted(0, "replica") == "0 replicas"


@pytest.mark.parametrize(("words", "text"), [([], ""), (["a"], "a"), (["a", "b"], "a and b"), (["a", "b", "c"], "a, b and c")])
def test_lists_read_like_sentences(words: list[str], text: str) -> None:
    assert wording.listed(words) == text


@pytest.mark.parametrize(("text", "told"), [("", ""), ("it is so", "It is so."), (" Is it so? ", "Is it so?"), ("So.", "So.")])
def test_a_sentence_starts_and_ends_like_one(text: str, told: str) -> None:
    assert wording.sentence(text) == told
