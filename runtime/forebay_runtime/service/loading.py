"""Loading one version onto the device: session, warm-up, footprint, and whether it may stay."""

import asyncio
import gc
import threading
import time
from collections.abc import Callable, Generator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Final

from forebay_runtime.domain.batching import BatchPolicy
from forebay_runtime.domain.memory_ledger import DoesNotFit, MemoryLedger
from forebay_runtime.domain.orders import VersionKey
from forebay_runtime.domain.pace import UNPACED, Pace
from forebay_runtime.domain.queue_policy import QueuePolicy, TimeoutAction
from forebay_runtime.engine.devices import Device
from forebay_runtime.engine.model_files import size_of
from forebay_runtime.engine.onnx_session import OnnxSession, RunInterruptedError, SessionError
from forebay_runtime.protocol import model_config
from forebay_runtime.protocol.datatypes import BYTES
from forebay_runtime.protocol.model_config import ConfigError, ModelConfig, ServedAs
from forebay_runtime.service.batcher import Batcher
from forebay_runtime.service.call_queue import CallQueue
from forebay_runtime.service.instances import InlineInstance, InlineWatch, Instances, ThreadInstances
from forebay_runtime.service.loaded_version import LoadedVersion, Origin
from forebay_runtime.service.run_watch import RunWatch
from forebay_runtime.service.statistics import Statistics
from forebay_schema.logs import Logger

_log = Logger(__name__)
_RUNTIME_BYTES: Final = 64 << 20
"""What a session takes beside weights and activations, where nothing better is known."""
_INLINE_SECONDS: Final = 60e-6
"""A model whose largest batch is faster than this costs less than the way to another thread and back."""
_GPU_KIND: Final = "KIND_GPU"
_CPU_KIND: Final = "KIND_CPU"


class LoadRefusedError(RuntimeError):
    """A version that may not stay on this device; the message has the numbers."""

    def __init__(self, reason: str, needed_bytes: int = 0) -> None:
        """`needed_bytes`: the device memory that it was found to take, where it is refused for that."""
        super().__init__(reason)
        self.needed_bytes = needed_bytes


@dataclass(frozen=True, slots=True)
class Footing:
    """What is known of a model before it is loaded."""

    key: VersionKey
    model_file: Path
    config: ModelConfig
    labels: Callable[[ModelConfig], dict[str, tuple[str, ...]]]
    origin: Origin
    default_max_batch_size: int
    """For a model that takes batches and whose configuration does not say how large; 0: none."""
    estimate: Callable[[int], int]
    """The memory estimate in bytes for a batch size."""
    memory_limit: int = 0


@dataclass(frozen=True, slots=True)
class _Loaded:
    session: OnnxSession
    served: ServedAs
    footprint_bytes: int
    seconds: float
    inline: bool


def plain_estimate(model_file: Path) -> Callable[[int], int]:
    """An estimate for a model that comes without a manifest: its weights twice, and what a session takes."""
    size = size_of(model_file)
    return lambda _batch_size: 2 * size + _RUNTIME_BYTES


class Loader:
    """Loads one version at a time, so that the growth of the device's used memory means something."""

    def __init__(self, device: Device, warm_up_timeout_s: float, runs: RunWatch) -> None:
        self.device = device
        self._warm_up_timeout_s = warm_up_timeout_s
        self._runs = runs
        self._watch = InlineWatch()
        self._ledger = MemoryLedger(device.total_bytes)
        self._turn = asyncio.Lock()
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="load")

    async def load(self, footing: Footing) -> LoadedVersion:
        """Load a version and account for it.

        Raises:
            ConfigError: its configuration contradicts the model, the device, or itself.
            SessionError: onnxruntime does not load it.
            LoadRefusedError: it takes more memory than there is; nothing of it stays.
        """
        async with self._turn:
            loaded = await asyncio.get_running_loop().run_in_executor(self._thread, self._open, footing)
            self._ledger = self._ledger.with_version(footing.key, loaded.footprint_bytes)
        _log.info(
            "model loaded",
            model=footing.key.model,
            version=footing.key.version,
            footprint_bytes=loaded.footprint_bytes,
            provider=loaded.session.provider,
            seconds=round(loaded.seconds, 3),
        )
        return self._version(footing, loaded)

    def release(self, key: VersionKey, footprint_bytes: int) -> None:
        """The version with this footprint is gone from the device: nobody refers to it any more."""
        self._ledger = self._ledger.without(key, footprint_bytes)
        gc.collect()

    def close(self) -> None:
        self._watch.stop()
        self._runs.stop()
        self._thread.shutdown(wait=False, cancel_futures=True)

    def _open(self, footing: Footing) -> _Loaded:
        start = time.monotonic()
        _check_placement(footing.config, self.device)
        _check_run_timeout(footing.config)
        self.device.settle()
        used_before = self.device.used_bytes()
        instances = model_config.instances(footing.config) or self.device.default_instances
        threads = model_config.threads(footing.config) or self.device.threads(instances)
        session = OnnxSession(footing.model_file, self.device.provider, self.device.index, threads)
        served = _served(footing, session, self.device)
        estimate = footing.estimate(max(1, served.signature.max_batch_size))
        if self.device.kind == "simulated":
            self._check(footing, estimate)
        self._check_batches(session, served)
        with _time_limit(session, self._warm_up_timeout_s):
            inline = _warm_up(session, served, self.device)
        grown = max(0, self.device.used_bytes() - used_before)
        footprint = self.device.footprint(grown, size_of(footing.model_file), estimate)
        try:
            self._check(footing, footprint)
        except LoadRefusedError:
            del session
            gc.collect()
            raise
        return _Loaded(session, served, footprint, time.monotonic() - start, inline)

    def _check(self, footing: Footing, footprint: int) -> None:
        refusal = self._ledger.check(footprint, footing.memory_limit)
        if isinstance(refusal, DoesNotFit):
            raise LoadRefusedError(refusal.reason, refusal.needed_bytes)

    def _check_batches(self, session: OnnxSession, served: ServedAs) -> None:
        """Refuse before the warm-up what cannot succeed: it would take the memory of all that is served here."""
        rows = served.signature.max_batch_size
        least = session.interface.least_bytes(rows) * served.instances
        refusal = self._ledger.check(least)
        if isinstance(refusal, DoesNotFit):
            raise LoadRefusedError(
                f"the inputs and outputs of {served.instances} batches of {max(1, rows)} rows are too large: {refusal.reason};"
                " lower max_batch_size or the number of instances",
                refusal.needed_bytes,
            )

    def _version(self, footing: Footing, loaded: _Loaded) -> LoadedVersion:
        served, statistics = loaded.served, Statistics()
        instances = self._instances(loaded, f"{footing.key.model}:{footing.key.version}")
        batcher = Batcher(_batch_policy(served), CallQueue(_queue_policy(served)), instances, statistics)
        return LoadedVersion(
            key=footing.key,
            served=served,
            origin=footing.origin,
            batcher=batcher,
            statistics=statistics,
            footprint_bytes=loaded.footprint_bytes,
            provider=loaded.session.provider,
            load_seconds=loaded.seconds,
        )

    def _instances(self, loaded: _Loaded, name: str) -> Instances:
        limit_s = model_config.run_timeout_s(loaded.served.config) or self._runs.limit_s

        def threads(count: int, pace: Pace) -> ThreadInstances:
            return ThreadInstances(loaded.session.twin, count, pace, name, watch=self._runs, limit_s=limit_s)

        if loaded.inline:
            thread = partial(threads, 1, UNPACED)
            return InlineInstance(loaded.session, self._watch, self._runs, thread, name=name, limit_s=limit_s)
        return threads(loaded.served.instances, self.device.pace)


def _served(footing: Footing, session: OnnxSession, device: Device) -> ServedAs:
    interface = session.interface
    config = model_config.complete(footing.config, footing.key.model, interface, footing.default_max_batch_size)
    config = model_config.with_instances(config, device.default_instances, _GPU_KIND if device.kind == "gpu" else _CPU_KIND)
    return model_config.served_as(config, footing.key.version, interface, footing.labels(config))


def _check_placement(config: ModelConfig, device: Device) -> None:
    asked = model_config.provider(config)
    if asked not in ("auto", device.provider):
        raise ConfigError(
            f"it asks for provider {asked}, but this server's device is {device.kind} and runs on {device.provider}:"
            " set serving.provider to auto, or give it a device of that kind"
        )
    for group in config.instance_group:
        kind = model_config.instance_kind(group)
        if (kind == _GPU_KIND and device.kind == "cpu") or (kind == _CPU_KIND and device.kind == "gpu"):
            raise ConfigError(f"its instance_group asks for {kind}, but this server's device is {device.kind}")


def _check_run_timeout(config: ModelConfig) -> None:
    """Refuse now what is needed only once the model is loaded."""
    model_config.run_timeout_s(config)


@contextmanager
def _time_limit(session: OnnxSession, limit_s: float) -> Generator[None]:
    """Refuse a model of which one batch takes longer than any client waits, and that would keep others from being loaded."""
    timer = threading.Timer(limit_s, session.interrupt)
    timer.start()
    try:
        yield
    except RunInterruptedError:
        raise LoadRefusedError(
            f"its warm-up with the largest batches took more than {limit_s:g} s (--warm-up-timeout-secs):"
            " lower max_batch_size, or take a smaller model"
        ) from None
    finally:
        timer.cancel()


def _warm_up(session: OnnxSession, served: ServedAs, device: Device) -> bool:
    """Run as many largest batches at once as there are instances, so that memory is what it will be at most.

    Returns whether the model is so fast that it need not leave the event loop's thread.
    """
    rows = served.signature.max_batch_size
    try:
        with ThreadPoolExecutor(max_workers=served.instances, thread_name_prefix="warm-up") as threads:
            list(threads.map(session.warm_up, [rows] * served.instances))
        return _may_run_inline(served, device) and session.seconds_per_run(rows) < _INLINE_SECONDS
    except RunInterruptedError:
        raise
    except SessionError as error:
        # Zeros are no valid input of every model; it is loaded all the same.
        _log.warning("warm-up failed", model=served.signature.name, reason=str(error))
        return False


def _may_run_inline(served: ServedAs, device: Device) -> bool:
    """Whether the time of a run on zeros says how long every run takes: on the CPU, at its own pace, with fixed shapes."""
    fixed = all(dim != -1 and tensor.datatype is not BYTES for tensor in served.signature.inputs for dim in tensor.dims)
    return device.provider == "cpu" and device.pace == UNPACED and fixed


def _batch_policy(served: ServedAs) -> BatchPolicy:
    if not served.config.HasField("dynamic_batching"):
        return BatchPolicy(max_rows=1)
    return BatchPolicy(
        max_rows=max(1, served.signature.max_batch_size),
        preferred=frozenset(served.preferred_batch_sizes),
        max_delay_ns=served.max_delay_us * 1000,
    )


def _queue_policy(served: ServedAs) -> QueuePolicy:
    return QueuePolicy(
        max_size=served.max_queue_size,
        default_timeout_ns=served.default_timeout_us * 1000,
        action=TimeoutAction.DELAY if served.delay_when_late else TimeoutAction.REJECT,
        allow_override=served.timeout_override,
    )
