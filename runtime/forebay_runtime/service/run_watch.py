"""Bounds on what a run of a model may take: a model that never comes to an end, or takes all memory, is stopped."""

import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Protocol

from forebay_runtime.protocol.errors import InternalError, RequestError, RunTimeoutError
from forebay_runtime.protocol.inference import Array
from forebay_schema.logs import Logger

_log = Logger(__name__)
_MIB: Final = 1 << 20
_LOOK_S: Final = 0.1
_GRACE_S: Final = 5.0
"""How long a stopped run may take to end: onnxruntime looks whether it is to stop after each operator only."""


class StoppableModel(Protocol):
    """A model of one thread, that another thread may stop."""

    def run(self, output_names: Sequence[str], inputs: Mapping[str, Array]) -> list[Array]: ...
    def interrupt(self) -> None:
        """Make the run that is under way fail soon."""
        ...


@dataclass(frozen=True, slots=True)
class MemoryBound:
    """What the process may take; `used_bytes` says what it takes now, `shrink` gives back what is kept for later runs."""

    limit_bytes: int
    used_bytes: Callable[[], int]
    shrink: Callable[[], None]


class WatchedModel:
    """A model whose runs end within their time; used by one thread, and by the watch in its own."""

    def __init__(self, model: StoppableModel, name: str, *, limit_s: float, grace_s: float) -> None:
        self._model = model
        self._lock = threading.Lock()
        self._began: float | None = None
        self._stopped: tuple[float, RequestError] | None = None
        self._makes_room = False
        self._limit_s = limit_s
        self._grace_s = grace_s
        self._name = name
        self.given_up = False
        """The run does not end although it was stopped: nobody waits for it any more."""
        self.on_given_up: Callable[[RequestError], None] | None = None

    def run(self, output_names: Sequence[str], inputs: Mapping[str, Array]) -> list[Array]:
        """As the model does.

        Raises:
            RunTimeoutError: it took too long.
            InternalError: it was stopped for the memory that it, or others with it, had taken.
        """
        with self._lock:
            self._began = time.monotonic()
            self._stopped = None
            self._makes_room = False
        try:
            return self._model.run(output_names, inputs)
        except Exception:
            if self._stopped is None:
                raise
            raise self._stopped[1] from None
        finally:
            with self._lock:
                self._began = None

    @property
    def began(self) -> float | None:
        """When the run that is under way began, by the monotonic clock; None: there is none, or it is being stopped."""
        return self._began if self._stopped is None else None

    @property
    def making_room(self) -> bool:
        """Whether a run that was stopped by `make_room` is still under way, and may yet end."""
        return self._makes_room and self._began is not None and not self.given_up

    def look(self, now: float) -> None:
        """Called now and then by the watch: stop a run that has taken too long, give up one that cannot be stopped."""
        with self._lock:
            if self._began is None or self.given_up:
                return
            if self._stopped is None:
                if now - self._began > self._limit_s:
                    self._stop(now, _too_long(self._limit_s))
                return
            stopped_at, error = self._stopped
            # Again: the run may not have come to where it looks at the first time.
            self._model.interrupt()
            self.given_up = now - stopped_at > self._grace_s
            # Read in here: as soon as the lock is free the run may end, and its thread forget whom to tell.
            on_given_up = self.on_given_up if self.given_up else None
        if on_given_up is not None:
            on_given_up(error)

    def make_room(self, now: float, error: RequestError) -> None:
        """Stop the run that is under way, if there is one, for its memory; its requests are answered with the error."""
        with self._lock:
            if self._began is not None and self._stopped is None:
                self._makes_room = True
                self._stop(now, error)

    def interrupt(self) -> None:
        self._model.interrupt()

    def _stop(self, now: float, error: RequestError) -> None:
        self._stopped = (now, error)
        _log.warning("run stopped", model=self._name, reason=error.message)
        self._model.interrupt()


class RunWatch:
    """Looks after the runs of all models of a server, from a thread of its own."""

    def __init__(self, limit_s: float, memory: MemoryBound | None = None, grace_s: float = _GRACE_S) -> None:
        """`limit_s`: for models that say nothing else; a run that was stopped has `grace_s` to end."""
        self.limit_s = limit_s
        self._memory = memory
        self._grace_s = grace_s
        self._models: dict[WatchedModel, None] = {}
        self._ended = threading.Event()
        threading.Thread(target=self._serve, name="run-watch", daemon=True).start()

    def watched(self, model: StoppableModel, limit_s: float, name: str) -> WatchedModel:
        """The model, looked after until it is removed."""
        watched = WatchedModel(model, name, limit_s=limit_s, grace_s=self._grace_s)
        self._models[watched] = None
        return watched

    def remove(self, model: WatchedModel) -> None:
        self._models.pop(model, None)

    def stop(self) -> None:
        """End its thread."""
        self._ended.set()

    def look(self, now: float) -> None:
        """Look once at all runs, and at the memory; `now` by the monotonic clock."""
        for look in (*(model.look for model in tuple(self._models)), self._look_at_memory):
            try:
                look(now)
            except Exception:
                # The next look may go better; without the watch nothing would end a run any more.
                _log.exception("a look at the runs failed")

    def _serve(self) -> None:
        while not self._ended.wait(_LOOK_S):
            self.look(time.monotonic())

    def _look_at_memory(self, now: float) -> None:
        bound = self._memory
        if bound is None or bound.used_bytes() <= bound.limit_bytes:
            return
        if any(model.making_room for model in tuple(self._models)):
            # What it has taken comes back when it has ended; until then no other is known to be too many.
            return
        bound.shrink()
        used = bound.used_bytes()
        oldest = _longest_running(tuple(self._models))
        if used > bound.limit_bytes and oldest is not None:
            oldest.make_room(now, _too_much(used, bound.limit_bytes))


def _longest_running(models: Sequence[WatchedModel]) -> WatchedModel | None:
    running = [(model.began, index, model) for index, model in enumerate(models)]
    oldest = min(((began, index, model) for began, index, model in running if began is not None), default=None)
    return oldest[2] if oldest is not None else None


def _too_long(limit_s: float) -> RunTimeoutError:
    return RunTimeoutError(
        f"the model was stopped: it ran for more than {limit_s:g} s with these inputs (--run-timeout-secs, or the"
        " model's parameter run_timeout_secs)"
    )


def _too_much(used_bytes: int, limit_bytes: int) -> InternalError:
    return InternalError(
        f"the model was stopped: this server took {used_bytes / _MIB:.0f} MiB of memory, of {limit_bytes / _MIB:.0f} that it"
        " may take, while it ran with these inputs, longer than any other; send less at once, or give the server more memory"
    )
