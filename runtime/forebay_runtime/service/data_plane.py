"""Inference and its surroundings, neutral of protocol: HTTP and gRPC ask the same things here."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from forebay_runtime.domain.lifecycle import State
from forebay_runtime.domain.orders import VersionKey
from forebay_runtime.protocol.errors import InvalidArgumentError, NotFoundError, RetryElsewhereError, UnavailableError
from forebay_runtime.protocol.inference import Array, InferPlan
from forebay_runtime.service.call_queue import Call, Reply
from forebay_runtime.service.loaded_version import LoadedVersion
from forebay_runtime.service.model_store import ModelStore

_MOST_DIGITS: Final = 20
_LARGEST_VERSION: Final = (1 << 63) - 1


@dataclass(frozen=True, slots=True)
class GatewayHeaders:
    """What the gateway added to a request; `version` None: it did not come through a gateway."""

    version: int | None = None
    model: str = ""


DIRECT: Final = GatewayHeaders()


def version_of(text: str) -> int | None:
    """The version that a request names, None where it names none.

    Raises:
        InvalidArgumentError: it is no version number.
    """
    if not text:
        return None
    if text.isdecimal() and text.isascii() and len(text) <= _MOST_DIGITS and 0 < int(text) <= _LARGEST_VERSION:
        return int(text)
    raise InvalidArgumentError(
        f"failed to get model version from specified version string '{text}', version should be an integral value > 0"
    )


class DataPlane:
    """Used from the event loop only."""

    def __init__(self, store: ModelStore, *, strict_readiness: bool) -> None:
        self._store = store
        self._strict_readiness = strict_readiness
        self.started = False
        self.draining = False
        self.refused_calls = 0
        """gRPC calls that were refused because too many were under way."""

    def refused(self) -> None:
        self.refused_calls += 1

    @property
    def store(self) -> ModelStore:
        return self._store

    def server_ready(self) -> bool:
        """Strict readiness: every version asked for is ready; those that were unloaded do not count."""
        if self.draining:
            return False
        if not self._strict_readiness:
            return True
        settled = all(row.state is State.READY or row.reason == "unloaded" for row in self._store.index())
        return self.started and settled

    def find(self, model: str, version: int | None, gateway: GatewayHeaders) -> LoadedVersion:
        """The version that answers the request.

        Raises:
            RetryElsewhereError: the gateway chose a version that this server does not serve now.
            RequestError: there is nothing to answer it, in Triton's words.
        """
        self._check_model(model, gateway)
        if gateway.version is None:
            return self._store.serving(model, version)
        if self.draining:
            raise RetryElsewhereError("this server is shutting down", "draining")
        if version is not None:
            return self._store.serving(model, version)
        slot = self._store.slot(VersionKey(model, gateway.version))
        if slot.state is not State.READY or slot.loaded is None:
            raise RetryElsewhereError(
                f"Request for unknown model: '{model}' version {gateway.version} is not at ready state", "not-ready"
            )
        return slot.loaded

    def submit(
        self, loaded: LoadedVersion, plan: InferPlan, inputs: Mapping[str, Array], gateway: GatewayHeaders, reply: Reply
    ) -> Call:
        """Queue the request; `reply` is called once, later, in the event loop.

        Raises:
            RetryElsewhereError: the queue is full, and the gateway may try another server.
            UnavailableError: the queue is full.
        """
        call = Call(plan, inputs, reply)
        try:
            loaded.batcher.submit(call)
        except UnavailableError as full:
            if gateway.version is not None:
                raise RetryElsewhereError(full.message, "queue-full") from None
            raise
        return call

    def model_ready(self, model: str, version: int | None, gateway: GatewayHeaders) -> bool:
        """Whether the version (any, where none is named) can answer now.

        Raises:
            NotFoundError: this server never heard of it.
            UnavailableError: it is being loaded.
        """
        self._check_model(model, gateway)
        if gateway.version is not None and version is None:
            version = gateway.version
        if not self._store.knows(model):
            raise NotFoundError(f"Request for unknown model: '{model}' is not found")
        slots = self._store.versions(model)
        if version is not None and version not in slots:
            raise NotFoundError(f"Request for unknown model: '{model}' version {version} is not found")
        asked = slots.values() if version is None else [slots[version]]
        if any(slot.state is State.READY for slot in asked):
            return True
        for number, slot in slots.items():
            if slot in asked and slot.state is State.LOADING:
                raise UnavailableError(f"Request for unknown model: '{model}' version {number} is not at ready state")
        return False

    def idle(self) -> bool:
        """Whether no request waits or executes."""
        return self._store.idle()

    def _check_model(self, model: str, gateway: GatewayHeaders) -> None:
        if gateway.model and gateway.model != model:
            raise InvalidArgumentError(f"this host serves model '{gateway.model}', but the request names model '{model}'")
