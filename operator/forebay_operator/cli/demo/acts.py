"""The acts of the demo, one after the other: convert, send the peak, watch the way back to zero."""

import asyncio
from collections import deque
from collections.abc import Callable
from typing import Any, Final

from forebay_operator.cli.demo.digits import Digits
from forebay_operator.cli.demo.load import Client, GrpcClient, HttpClient, Traffic, WireProtocol
from forebay_operator.cli.demo.screen import Screen
from forebay_operator.cli.demo.stage import Stage, StageError
from forebay_operator.cli.demo.story import Sample, Story, recent_latency_s
from forebay_operator.cli.demo.trace import Trace

CONVERSION_TIMEOUT_S: Final = 90.0
BACK_TO_ZERO_TIMEOUT_S: Final = 60.0
SAMPLE_EVERY_S: Final = 0.25
_LOOK_EVERY_S: Final = 0.25
_RATE_OVER_SAMPLES: Final = 4
_ZERO_SAMPLES: Final = 12
"""The picture shows this much of the end."""


async def converted(stage: Stage, say: Callable[[str], None]) -> dict[str, Any]:
    """Wait until the model is converted and verified, telling what happens; the model's details.

    Raises:
        StageError: the conversion failed, or takes too long.
    """
    try:
        async with asyncio.timeout(CONVERSION_TIMEOUT_S):
            while True:
                for event in await stage.new_events():
                    say(event)
                details = await stage.model()
                condition = _condition(details, "Converted")
                if condition.get("status") == "True" and details["inputs"]:
                    return details
                if condition.get("reason", "").endswith("Failed"):
                    raise StageError(condition["message"])
                await asyncio.sleep(_LOOK_EVERY_S)
    except TimeoutError:
        raise StageError(f"the model was not converted within {CONVERSION_TIMEOUT_S:.0f} s: see up.log") from None


def clients_for(stage: Stage, details: dict[str, Any]) -> dict[WireProtocol, Client]:
    """One client per protocol, for the model's input and its class output."""
    (input_spec,) = details["inputs"]
    label = next(output["name"] for output in details["outputs"] if output["datatype"] == "INT64")
    return {
        "HTTP": HttpClient(stage.http_address, "digits", input_spec["name"], label),
        "gRPC": GrpcClient(stage.grpc_address, "digits", input_spec["name"], label),
    }


async def peak(
    stage: Stage, digits: Digits, clients: dict[WireProtocol, Client], trace: Trace, screen: Screen
) -> tuple[Traffic, Story]:
    """Send the traffic and watch until the model is at zero again, or for as long as that may take."""
    traffic, story = Traffic(digits, clients), Story()
    watching = asyncio.create_task(_watch(stage, traffic, story, screen))
    try:
        await traffic.send(trace.arrivals())
        # Its time limit is no error: the verdict says whether the model came back to zero.
        await asyncio.wait([watching], timeout=BACK_TO_ZERO_TIMEOUT_S)
    finally:
        watching.cancel()
        await asyncio.gather(watching, return_exceptions=True)
        for client in clients.values():
            await client.close()
    return traffic, story


def at_zero(story: Story) -> bool:
    """Whether no replica is left, or wanted."""
    latest = story.samples[-1] if story.samples else None
    return latest is not None and latest.replicas_ready == 0 and latest.replicas_wanted == 0 and latest.queue == 0


async def _watch(stage: Stage, traffic: Traffic, story: Story, screen: Screen) -> None:
    """Sample and show until everything sent is answered and the model has been at zero again for a moment."""
    zero_samples = 0
    sent: deque[tuple[float, int]] = deque(maxlen=_RATE_OVER_SAMPLES + 1)
    while zero_samples < _ZERO_SAMPLES:
        sent.append((traffic.elapsed_s, traffic.report.sent))
        if model := await stage.load():
            story.add(_sample(model, traffic, _rate(sent)))
            screen.show(story, traffic.report)
        zero_samples = zero_samples + 1 if traffic.all_answered and at_zero(story) else 0
        await asyncio.sleep(SAMPLE_EVERY_S)


def _rate(sent: deque[tuple[float, int]]) -> float:
    (first_s, first), (last_s, last) = sent[0], sent[-1]
    return (last - first) / (last_s - first_s) if last_s > first_s else 0.0


def _sample(model: dict[str, Any], traffic: Traffic, sent_per_s: float) -> Sample:
    now_s = traffic.elapsed_s
    return Sample(
        at_s=now_s,
        sent_per_s=sent_per_s,
        held=model["held"],
        waiting=model["waiting"],
        executing=model["executing"],
        replicas_ready=model["ready"],
        replicas_wanted=model["wanted"],
        latency_p50_s=recent_latency_s(traffic.report, now_s),
        decision=model["decision"],
    )


def _condition(details: dict[str, Any], kind: str) -> dict[str, str]:
    conditions: list[dict[str, str]] = details["object"].get("status", {}).get("conditions", [])
    return next((condition for condition in conditions if condition["type"] == kind), {})
