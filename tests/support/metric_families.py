"""What operator, gateways and servers show at /metrics, taken from their own pages after everything has happened once."""

import asyncio
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from prometheus_client.metrics_core import Metric

from forebay_gateway.demand import Ledger
from forebay_gateway.figures import ProcessFigures, families_of_models, families_of_process
from forebay_gateway.holder.holder import Holder
from forebay_gateway.metrics import model_labels, render
from forebay_operator.worlds.kubernetes.metrics import OperatorMetrics
from forebay_runtime.domain.device_spec import DeviceSpec
from forebay_runtime.domain.lifecycle import Event
from forebay_runtime.domain.orders import VersionKey
from forebay_runtime.domain.pace import UNPACED
from forebay_runtime.engine.artifacts import ArtifactCache
from forebay_runtime.engine.devices import open_device
from forebay_runtime.server.metrics_page import page
from forebay_runtime.service.data_plane import DataPlane
from forebay_runtime.service.loading import Loader
from forebay_runtime.service.model_store import ModelStore
from forebay_runtime.service.repository_control import RepositoryControl
from forebay_runtime.service.run_watch import RunWatch
from forebay_runtime.service.server_state import StateFile
from forebay_schema.addresses import ModelAddress
from forebay_schema.repository import LoadOrder
from runtime_models import MIB, add_model, put_artifact

_HELP = re.compile(r"# HELP (\S+) (.*)")
_TYPE = re.compile(r"# TYPE (\S+) (.*)")
_SAMPLE = re.compile(r"([a-z_]+)(?:\{(.*)\})? \S+")
_PARTS = {"histogram": ("_bucket", "_sum", "_count"), "summary": ("_sum", "_count")}


@dataclass(frozen=True, slots=True)
class Shown:
    """One metric."""

    name: str
    kind: str
    text: str
    labels: tuple[str, ...]

    @property
    def series(self) -> tuple[str, ...]:
        """Names by which it is asked for."""
        return tuple(f"{self.name}{part}" for part in _PARTS.get(self.kind, ("",)))


def of_operator(metrics: OperatorMetrics) -> list[Shown]:
    return [_of_operator(family) for family in sorted(metrics.registry.collect(), key=lambda family: family.name)]


def _of_operator(family: Metric) -> Shown:
    name = f"{family.name}_total" if family.type == "counter" else family.name
    labels = dict.fromkeys(label for sample in family.samples for label in sample.labels if label != "le")
    return Shown(name, family.type, family.documentation, tuple(labels))


def of_gateway() -> list[Shown]:
    """Of a gateway that has held a request for a model and answered one."""
    address = ModelAddress(namespace="default", name="digits")
    figures = ProcessFigures(
        answers={("http", "2xx"): 1}, envoy_starts=1, refused_configurations=0, refused_routes=0, are_routes_old=False
    )
    models = _read(render(families_of_models(Holder(lambda: 0.0, lambda: 0.0, lambda: None), Ledger())))
    # All of these have the model's labels, whether any model has been asked for or not.
    named = tuple(label for label, _ in model_labels(address))
    of_models = [Shown(each.name, each.kind, each.text, named) for each in models]
    return sorted([*of_models, *_read(render(families_of_process(figures)))], key=lambda each: each.name)


def of_server() -> list[Shown]:
    """Of a server that has a model, and has refused another one for its size."""
    with TemporaryDirectory() as folder:
        return sorted(_read(asyncio.run(_page_of_a_server(Path(folder)))), key=lambda each: each.name)


async def _page_of_a_server(folder: Path) -> str:
    device = open_device(DeviceSpec("simulated", memory_bytes=20 * MIB, pace=UNPACED))
    store, loader = ModelStore(), Loader(device, 60.0, RunWatch(60.0))
    control = RepositoryControl(
        store=store,
        loader=loader,
        artifacts=ArtifactCache(folder / "artifacts", 1 << 30),
        state_file=StateFile(folder / "state.json"),
        repository=None,
        mode="explicit",
    )
    try:
        await control.start([])
        uri, digest = put_artifact(folder / "store", add_model())
        order = LoadOrder(forebay_artifact=uri, forebay_digest=digest, forebay_version=1, forebay_sequence=1)
        await control.obey_load("digits", order, "{}")
        store.advance(VersionKey("large", 1), Event.LOAD_ORDERED)
        store.advance(VersionKey("large", 1), Event.LOAD_FAILED, "too large", 1 << 30)
        return page(DataPlane(store, strict_readiness=False), device)
    finally:
        loader.close()


def _read(page_text: str) -> Iterator[Shown]:
    """The metrics of a page in Prometheus' text form."""
    lines = page_text.splitlines()
    kinds = {match[1]: match[2] for line in lines if (match := _TYPE.fullmatch(line))}
    labels = _labels(lines)
    for match in filter(None, map(_HELP.fullmatch, lines)):
        name, text = match.groups()
        yield Shown(name, kinds[name], text.removesuffix("."), tuple(labels.get(name, ())))


def _labels(lines: Iterable[str]) -> dict[str, list[str]]:
    samples = filter(None, map(_SAMPLE.fullmatch, lines))
    return {match[1]: re.findall(r'([a-z_]+)="', match[2] or "") for match in samples}
