"""What /metrics has."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from forebay_gateway.demand import Ledger
from forebay_gateway.holder.holder import Holder
from forebay_gateway.metrics import Family, Sample, by_model


@dataclass(frozen=True, slots=True)
class ProcessFigures:
    """What is counted for no model."""

    answers: Mapping[tuple[str, str], int]
    """By listener and kind of code."""
    envoy_starts: int
    refused_configurations: int
    refused_routes: int
    are_routes_old: bool


def families_of_models(holder: Holder, ledger: Ledger) -> list[Family]:
    counts, held = holder.counts, holder.addresses()
    waited_s = {address: milliseconds / 1000 for address, milliseconds in counts.waited_ms.items()}
    waits = (*by_model(waited_s, "_sum"), *by_model(counts.waits, "_count"))
    return [
        _counter("arrivals_total", "Requests that came, each counted once.", by_model(ledger.arrivals(counts.first))),
        _gauge("held", "Requests waiting for a replica.", by_model({each: holder.held(each) for each in held})),
        _gauge("held_bytes", "Bytes they are charged.", by_model({each: holder.held_bytes(each) for each in held})),
        _family("hold_seconds", "summary", "How long requests waited for a replica, or for room in one.", waits),
        _gauge("in_flight", "Requests at replicas, by Envoy's last report.", by_model(ledger.in_flight)),
        _counter("released_total", "Times a waiting request was let go.", by_model(counts.released)),
        _counter("refused_total", "Requests that the holder refused.", by_model(counts.refused)),
        _counter("gone_total", "Requests whose client left while they waited.", by_model(counts.gone)),
    ]


def families_of_process(figures: ProcessFigures) -> list[Family]:
    answers = (
        Sample(count, (("protocol", listener), ("code", code))) for (listener, code), count in sorted(figures.answers.items())
    )
    return [
        _counter("requests_total", "Answers by kind of HTTP's code; gRPC has a status of its own.", answers),
        _counter("envoy_starts_total", "Envoys started.", [Sample(figures.envoy_starts)]),
        _counter(
            "refused_configurations_total", "Configurations that Envoy refused.", [Sample(figures.refused_configurations)]
        ),
        _gauge("refused_routes", "Models whose newest route cannot be followed.", [Sample(figures.refused_routes)]),
        _gauge("routes_old", "1 while routes cannot be followed, and the last ones stay.", [Sample(figures.are_routes_old)]),
    ]


def _counter(name: str, text: str, samples: Iterable[Sample]) -> Family:
    return _family(name, "counter", text, samples)


def _gauge(name: str, text: str, samples: Iterable[Sample]) -> Family:
    return _family(name, "gauge", text, samples)


def _family(name: str, kind: str, text: str, samples: Iterable[Sample]) -> Family:
    return Family(f"forebay_gateway_{name}", kind, text, tuple(samples))
