import pytest

from forebay_operator.worlds.local.server_pages import metrics_page
from forebay_operator.worlds.server_pages import read_index, read_metrics

PAGE = """# HELP nv_inference_pending_request_count Pending
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
forebay_model_info{model="digits",version="2",digest="a}b",provider="CPU"} 1
forebay_device_memory_total_bytes{kind="simulated",name="simulated"} 1.7179869184e+10
forebay_server_draining 1
"""


def test_the_fast_reader_says_what_the_plain_one_says() -> None:
    fast, plain = read_metrics(PAGE.encode()), metrics_page(PAGE)
    wanted = set(fast.by_version["digits", 2])
    assert fast.by_version["digits", 2] == {
        name: value for name, value in plain.by_version["digits", 2].items() if name in wanted
    }
    assert "nv_inference_request_failure" in wanted
    assert (fast.info, fast.device_memory_bytes, fast.draining) == (plain.info, plain.device_memory_bytes, plain.draining)


def test_families_that_nobody_asks_for_are_not_looked_at() -> None:
    assert "nv_inference_request_duration_us" not in read_metrics(PAGE.encode()).by_version["digits", 2]


def test_an_empty_page_says_nothing() -> None:
    page = read_metrics(b"")
    assert (page.by_version, page.info, page.device_memory_bytes, page.draining) == ({}, {}, None, False)


def test_an_index_is_a_list_of_versions() -> None:
    (entry,) = read_index(b'[{"name": "digits", "version": "2", "state": "READY"}]')
    assert (entry.name, entry.version, entry.state, entry.reason) == ("digits", "2", "READY", "")


@pytest.mark.parametrize("text", [b"", b"{}", b"null", b"[1]"])
def test_what_is_no_index_is_refused(text: bytes) -> None:
    with pytest.raises(ValueError):  # noqa: PT011 - json's and pydantic's errors are both of it
        read_index(text)
