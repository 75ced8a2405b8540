from forebay_operator.domain.snapshot import Holding, HoldingPhase
from forebay_operator.worlds.local.server_pages import holdings_of, metrics_page
from forebay_schema.repository import IndexEntry

PAGE = """
# HELP nv_inference_pending_request_count Instantaneous number of pending requests
# TYPE nv_inference_pending_request_count gauge
nv_inference_pending_request_count{model="digits",version="2"} 7
nv_inference_request_success{model="digits",version="2"} 40
nv_inference_request_failure{model="digits",reason="REJECTED",version="2"} 1
nv_inference_request_failure{model="digits",reason="BACKEND",version="2"} 2
forebay_model_busy_seconds_total{model="digits",version="2"} 1.25
forebay_model_executing{model="digits",version="2"} 3
forebay_model_memory_bytes{model="digits",version="2"} 1048576
forebay_model_instances{model="digits",version="2"} 2
forebay_model_info{model="digits",version="2",digest="abc",provider="CPUExecutionProvider"} 1
forebay_device_memory_total_bytes{kind="simulated",name="simulated"} 1.7179869184e+10
forebay_server_draining 0
"""
READY = IndexEntry(name="digits", version="2", state="READY")


def test_a_ready_version_has_the_figures_of_the_metrics_page() -> None:
    assert holdings_of([READY], metrics_page(PAGE)) == (
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


def test_figures_are_unknown_and_not_zero_without_a_metrics_page() -> None:
    (holding,) = holdings_of([READY], None)

    assert (holding.waiting, holding.executing, holding.busy_seconds, holding.completed) == (None, None, None, None)


def test_what_failed_to_load_says_why() -> None:
    failed = IndexEntry(name="digits", version="3", state="UNAVAILABLE", reason="needs 8 GiB, 2 GiB are free")

    (holding,) = holdings_of([failed], None)

    assert (holding.phase, holding.reason) == (HoldingPhase.FAILED, "needs 8 GiB, 2 GiB are free")


def test_what_was_unloaded_is_not_held() -> None:
    gone = IndexEntry(name="digits", version="1", state="UNAVAILABLE", reason="unloaded")

    assert holdings_of([gone, IndexEntry(name="other")], None) == ()


def test_the_device_says_its_memory_and_whether_the_server_drains() -> None:
    page = metrics_page(PAGE.replace("draining 0", "draining 1"))

    assert page.device_memory_bytes == 16 << 30
    assert page.draining


def test_quotes_commas_and_braces_in_labels_do_not_break_the_line() -> None:
    page = metrics_page('forebay_model_info{model="a",version="1",digest="x\\"},y=",provider="p q"} 1')

    assert page.info["a", 1]["provider"] == "p q"
