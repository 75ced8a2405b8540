import pytest
from hypothesis import given
from hypothesis import strategies as st

from forebay_operator.domain.snapshot import Holding, HoldingPhase
from forebay_operator.worlds.server_pages import PageReader, Reading, structure_of

PAGE = b"""# HELP nv_inference_pending_request_count Instantaneous number of pending requests
# TYPE nv_inference_pending_request_count gauge
nv_inference_pending_request_count{model="digits",version="2"} 7
nv_inference_request_success{model="digits",version="2"} 40
nv_inference_request_failure{model="digits",reason="REJECTED",version="2"} 1
nv_inference_request_failure{model="digits",reason="BACKEND",version="2"} 2
nv_inference_request_duration_us{model="digits",version="2"} 123456
forebay_model_busy_seconds_total{model="digits",version="2"} 1.25
forebay_model_executing{model="digits",version="2"} 3
forebay_model_memory_bytes{model="digits",version="2"} 1048576
forebay_model_instances{model="digits",version="2"} 2
forebay_model_info{model="digits",version="2",digest="abc",provider="CPUExecutionProvider"} 1
forebay_device_memory_total_bytes{kind="simulated",name="simulated"} 1.7179869184e+10
forebay_server_draining 0
"""
INDEX = b'[{"name": "digits", "version": "2", "state": "READY"}]'
FAILED = b'[{"name": "digits", "version": "3", "state": "UNAVAILABLE", "reason": "needs 8 GiB, 2 GiB are free"}]'
_indices = st.sampled_from([INDEX, INDEX.replace(b"READY", b"LOADING"), INDEX.replace(b'"2"', b'"3"'), b"[]", b"{}", b"["])
_lines = st.sampled_from(
    [
        *PAGE.splitlines(),
        b'nv_inference_pending_request_count{model="digits",version="2"} 8',
        b'nv_inference_pending_request_count{model="digits",version="2"} many',
        b'forebay_model_info{model="digits",version="3",digest="def",provider="CPUExecutionProvider"} 1',
        b"forebay_server_draining 1",
    ]
)
_metrics = st.just(PAGE) | st.lists(_lines, max_size=6).map(b"\n".join)


def test_a_ready_version_has_the_figures_of_the_metrics_page() -> None:
    assert _read(INDEX, PAGE).holdings == (
        Holding(
            model="digits",
            version=2,
            phase=HoldingPhase.READY,
            digest="abc",
            footprint_bytes=1048576,
            provider="CPUExecutionProvider",
            instances=2,
            waiting=7,
            executing=3,
            busy_seconds=1.25,
            completed=43,
        ),
    )


def test_figures_that_the_metrics_page_does_not_have_are_unknown_and_not_zero() -> None:
    (holding,) = _read(INDEX, b"").holdings

    assert (holding.waiting, holding.executing, holding.busy_seconds, holding.completed) == (None, None, None, None)


def test_what_failed_to_load_says_why() -> None:
    (holding,) = _read(FAILED, b"").holdings

    assert (holding.phase, holding.reason) == (HoldingPhase.FAILED, "needs 8 GiB, 2 GiB are free")


def test_what_needs_more_than_there_is_says_how_much() -> None:
    (holding,) = _read(FAILED, b'forebay_model_refused_memory_bytes{model="digits",version="3"} 8e9').holdings

    assert holding.refused_bytes == 8_000_000_000


def test_what_was_unloaded_is_not_held() -> None:
    gone = b'[{"name": "digits", "version": "1", "state": "UNAVAILABLE", "reason": "unloaded"}, {"name": "other"}]'

    assert _read(gone, b"").holdings == ()


@pytest.mark.parametrize(("said", "draining"), [(b"0", False), (b"1", True)])
def test_a_server_says_whether_it_drains(said: bytes, draining: bool) -> None:
    assert _read(INDEX, PAGE.replace(b"draining 0", b"draining " + said)).draining is draining


def test_quotes_commas_and_braces_in_labels_do_not_break_the_line() -> None:
    (holding,) = _read(INDEX, b'forebay_model_info{model="digits",version="2",digest="x\\"},y=",provider="p q"} 1').holdings

    assert holding.provider == "p q"


def test_empty_pages_say_that_nothing_is_held() -> None:
    assert _read(b"[]", b"") == Reading()


@pytest.mark.parametrize("text", [b"", b"{}", b"null", b"[1]", b"[" * 100_000])
def test_what_is_no_index_is_refused(text: bytes) -> None:
    with pytest.raises(ValueError):  # noqa: PT011 - json's and pydantic's errors are both of it
        _read(text, PAGE)


@pytest.mark.parametrize("figure", [b"many", b"NaN", b"+Inf"])
def test_a_count_that_is_no_number_is_refused(figure: bytes) -> None:
    with pytest.raises(ValueError):  # noqa: PT011 - float's and ours are both of it
        _read(INDEX, PAGE.replace(b"} 7", b"} " + figure))


def test_figures_alone_do_not_change_the_structure_of_what_is_held() -> None:
    idle, busy = (_read(INDEX, page).holdings for page in (PAGE.replace(b"} 7", b"} 0"), PAGE))
    loading = _read(INDEX.replace(b"READY", b"LOADING"), PAGE).holdings

    assert structure_of(idle) == structure_of(busy)
    assert structure_of(loading) != structure_of(busy)


@given(st.lists(st.tuples(_indices, _metrics), max_size=8))
def test_a_reader_says_of_any_pages_what_one_says_that_read_nothing_before(pages: list[tuple[bytes, bytes]]) -> None:
    reader = PageReader()
    for index, metrics in pages:
        assert _reading_or_none(reader, index, metrics) == _reading_or_none(PageReader(), index, metrics)


def test_what_nobody_asks_for_is_no_other_reading() -> None:
    reader = PageReader()
    first = reader.read(INDEX, PAGE)

    assert reader.read(INDEX, PAGE.replace(b"123456", b"123457")) is first
    assert reader.read(INDEX, PAGE.replace(b"} 40", b"} 41")) is not first


def _read(index: bytes, metrics: bytes) -> Reading:
    return PageReader().read(index, metrics)


def _reading_or_none(reader: PageReader, index: bytes, metrics: bytes) -> Reading | None:
    try:
        return reader.read(index, metrics)
    except ValueError:
        return None
