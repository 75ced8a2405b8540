"""Orders to load and unload, idempotent and in any order; what they hold survives a restart."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Final, Literal

from forebay_runtime.domain.lifecycle import Event, State
from forebay_runtime.domain.orders import VersionKey
from forebay_runtime.domain.version_policy import Every, Latest, Specific, VersionPolicy, select
from forebay_runtime.engine.artifacts import ArtifactCache, ArtifactError
from forebay_runtime.engine.gpu_memory import GpuError
from forebay_runtime.engine.model_files import ModelFilesError, ModelRepository, RepositoryModel
from forebay_runtime.engine.onnx_session import SessionError
from forebay_runtime.protocol import model_config
from forebay_runtime.protocol.errors import InternalError, InvalidArgumentError, RequestError, UnavailableError
from forebay_runtime.protocol.model_config import ConfigError, ModelConfig
from forebay_runtime.service.loaded_version import LoadedVersion, Origin
from forebay_runtime.service.loading import Footing, Loader, LoadRefusedError, plain_estimate
from forebay_runtime.service.model_store import IndexRow, ModelStore
from forebay_runtime.service.server_state import HeldVersion, SeenOrder, ServerState, StateFile
from forebay_schema.logs import Logger
from forebay_schema.manifest import MODEL_FILE
from forebay_schema.repository import LoadOrder, UnloadOrder

ControlMode = Literal["none", "explicit"]

_log = Logger(__name__)
_REMEMBERED_ORDERS: Final = 1000
_TRITON_MAX_BATCH_SIZE: Final = 4
"""What Triton's auto-completion takes for a model that takes batches and says no size."""
_PROBLEMS: Final = (ArtifactError, ConfigError, GpuError, LoadRefusedError, ModelFilesError, SessionError, OSError)


@dataclass(frozen=True, slots=True)
class Override:
    """A configuration that a load call brought; it stays as long as the files are the same and nothing is unloaded."""

    config: ModelConfig
    fingerprint: str


class RepositoryControl:
    """Used from the event loop only."""

    def __init__(
        self,
        *,
        store: ModelStore,
        loader: Loader,
        artifacts: ArtifactCache,
        state_file: StateFile,
        repository: ModelRepository | None,
        mode: ControlMode,
        auto_complete: bool = True,
    ) -> None:
        self._store = store
        self._loader = loader
        self._artifacts = artifacts
        self._state_file = state_file
        self._repository = repository
        self._mode = mode
        self._auto_complete = auto_complete
        self._locks: dict[VersionKey, asyncio.Lock] = {}
        self._overrides: dict[str, Override] = {}
        state = state_file.read()
        self._orders = state.order_book()
        self._held = {held.key: held for held in state.held}
        self._background: set[asyncio.Task[None]] = set()

    async def start(self, load_models: Sequence[str]) -> None:
        """Load what the state says was held, then what the command line names (`*`: all; in mode none always all).

        What cannot be loaded is told and passed over.

        Raises:
            ModelFilesError: in mode none, where there is nothing else to serve: the repository cannot be listed.
        """
        for held in tuple(self._held.values()):
            await self._tried(held.model, self._hold_again(held))
        for name in await self._named(load_models):
            await self._tried(name, self._load_from_repository(name, None))

    async def load(self, name: str, config: str | None) -> None:
        """Triton's load: the model's versions from the repository, with another configuration where one is given.

        Raises:
            RequestError: it failed, or this server is not in explicit mode.
        """
        self._check_mode()
        await self._load_from_repository(name, config)

    async def unload(self, name: str) -> None:
        """Triton's unload: every version of the model, once its requests are answered. Unknown models are no error."""
        self._check_mode()
        self._overrides.pop(name, None)
        for version in sorted(self._store.versions(name)):
            key = VersionKey(name, version)
            async with self._lock(key):
                await self._take_down(key)
            if self._held.pop(key, None):
                self._save()

    async def obey_load(self, name: str, order: LoadOrder, config: str) -> None:
        """Hold this version. Answers when it is ready; an order older than one already seen is ignored.

        Raises:
            RequestError: it cannot be loaded; the reason stays in the index.
        """
        self._check_mode()
        key = VersionKey(name, order.forebay_version)
        if not self._accept(key, order.forebay_sequence):
            return
        held = HeldVersion(model=name, order=order, config=config)
        async with self._lock(key):
            # A newer order about this version may have come while this one waited for its turn.
            if self._orders.is_late(key, order.forebay_sequence):
                return
            await self._hold_locked(held)
            self._held[key] = held
            self._save()

    async def obey_unload(self, name: str, order: UnloadOrder) -> None:
        """Let go of this version once its requests are answered; an order older than one already seen is ignored."""
        self._check_mode()
        key = VersionKey(name, order.forebay_version)
        if not self._accept(key, order.forebay_sequence):
            return
        async with self._lock(key):
            if self._orders.is_late(key, order.forebay_sequence):
                return
            self._held.pop(key, None)
            self._save()
            await self._take_down(key)
            if self._store.slot(key).state is State.UNAVAILABLE:
                # Of a load that failed, too: an order is obeyed when the index says so, and the failure is told no more.
                self._store.advance(key, Event.UNLOAD_ORDERED, "unloaded")
        await asyncio.to_thread(self._artifacts.trim, self._digests())

    async def index(self) -> list[IndexRow]:
        """Versions that were ever asked for, and the repository's models that never were."""
        self._state_file.catch_up()
        rows = self._store.index()
        if self._repository is None:
            return rows
        try:
            names = await asyncio.to_thread(self._repository.names)
        except ModelFilesError as error:
            raise InternalError(str(error)) from None
        never = [IndexRow(name, None, State.UNKNOWN, "") for name in names if not self._store.knows(name)]
        return sorted([*rows, *never], key=lambda row: (row.name, row.version or 0))

    def _check_mode(self) -> None:
        if self._mode != "explicit":
            raise UnavailableError("explicit model load / unload is not allowed if polling is enabled")

    def _accept(self, key: VersionKey, sequence: int) -> bool:
        if self._orders.is_late(key, sequence):
            _log.info("late order ignored", model=key.model, version=key.version, sequence=sequence)
            return False
        self._orders = self._orders.with_order(key, sequence).trimmed(frozenset(self._held), _REMEMBERED_ORDERS)
        return True

    def _lock(self, key: VersionKey) -> asyncio.Lock:
        return self._locks.setdefault(key, asyncio.Lock())

    def _digests(self) -> frozenset[str]:
        return frozenset(held.order.forebay_digest for held in self._held.values())

    def _save(self) -> None:
        seen = [
            SeenOrder(model=key.model, version=key.version, sequence=sequence) for key, sequence in self._orders.newest.items()
        ]
        self._state_file.write(ServerState(held=tuple(self._held.values()), seen=tuple(seen)))

    async def _named(self, load_models: Sequence[str]) -> tuple[str, ...]:
        if self._repository is None or (self._mode == "explicit" and "*" not in load_models):
            return tuple(load_models)
        try:
            return await asyncio.to_thread(self._repository.names)
        except ModelFilesError as error:
            if self._mode == "none":
                raise
            _log.error("models not loaded", reason=str(error))
            return tuple(name for name in load_models if name != "*")

    async def _tried(self, name: str, load: Awaitable[None]) -> None:
        try:
            await load
        except RequestError as error:
            _log.warning("going on without a model", model=name, reason=error.message)
        except Exception:
            _log.exception("load failed in a way nobody foresaw", model=name)

    async def _hold_again(self, held: HeldVersion) -> None:
        async with self._lock(held.key):
            # Orders are obeyed from the first moment: this version may have been let go of, or replaced, by now.
            if self._held.get(held.key) == held:
                await self._hold_locked(held)

    async def _hold_locked(self, held: HeldVersion) -> None:
        order = held.order
        try:
            config = model_config.from_json(held.config)
        except ConfigError as error:
            raise InvalidArgumentError(f"failed to load '{held.model}', {error}") from None
        origin = Origin(order.forebay_digest, model_config.canonical(config), from_artifact=True)

        async def footing() -> Footing:
            model_config.check_supported(config, held.model)
            given = (order.forebay_artifact, order.forebay_digest, self._digests())
            artifact = await asyncio.to_thread(self._artifacts.fetch, *given)
            return Footing(
                key=held.key,
                model_file=artifact.folder / MODEL_FILE,
                config=config,
                labels=lambda _config: {},
                origin=origin,
                default_max_batch_size=0,
                estimate=artifact.manifest.memory_for,
                memory_limit=order.forebay_memory_limit,
            )

        with self._artifacts.in_use(order.forebay_digest):
            await self._bring_up(held.key, origin, footing)

    async def _load_from_repository(self, name: str, config_text: str | None) -> None:
        try:
            model = await asyncio.to_thread(self._read_model, name)
            config = self._config(model, config_text)
            model_config.check_supported(config, name)
            serve = _versions(model, config)
        except (ConfigError, ModelFilesError, OSError) as error:
            _log.error("model not loaded", model=name, reason=str(error))
            raise InternalError(str(error)) from None
        for version in serve:
            key = VersionKey(name, version)
            async with self._lock(key):
                await self._load_version(model, key, config)
        for version in self._store.ready_versions(name):
            key = VersionKey(name, version)
            if version not in serve and self._store.from_repository(key):
                await self._take_down(key)

    def _read_model(self, name: str) -> RepositoryModel:
        if self._repository is None:
            raise ModelFilesError(f"failed to load '{name}', failed to poll from model repository")
        return self._repository.model(name)

    def _config(self, model: RepositoryModel, config_text: str | None) -> ModelConfig:
        if config_text is not None:
            self._overrides[model.name] = Override(model_config.from_json(config_text), model.fingerprint)
        override = self._overrides.get(model.name)
        config = override.config if override and override.fingerprint == model.fingerprint else model.config
        if not self._auto_complete and not (config.input and config.output):
            raise ConfigError(
                f"failed to load '{model.name}', its configuration names no inputs or outputs and auto-completion is off"
            )
        return config

    async def _load_version(self, model: RepositoryModel, key: VersionKey, config: ModelConfig) -> None:
        origin = Origin(model.fingerprint, model_config.canonical(config), from_artifact=False)

        async def footing() -> Footing:
            model_file = model.model_file(key.version, config)
            return Footing(
                key=key,
                model_file=model_file,
                config=config,
                labels=lambda complete: dict(model.labels(complete)),
                origin=origin,
                default_max_batch_size=_TRITON_MAX_BATCH_SIZE if self._auto_complete else 0,
                estimate=await asyncio.to_thread(plain_estimate, model_file),
            )

        await self._bring_up(key, origin, footing)

    async def _bring_up(self, key: VersionKey, origin: Origin, footing: Callable[[], Awaitable[Footing]]) -> None:
        slot = self._store.slot(key)
        if slot.state is State.READY and slot.loaded and slot.loaded.origin == origin:
            return
        replaced = self._store.advance(key, Event.LOAD_ORDERED).loaded
        try:
            loaded = await self._loader.load(await footing())
        except LoadRefusedError as error:
            raise self._load_failed(key, str(error), error.needed_bytes) from None
        except _PROBLEMS as error:
            raise self._load_failed(key, str(error)) from None
        except Exception as error:
            _log.exception("load failed in a way nobody foresaw", model=key.model, version=key.version)
            raise self._load_failed(key, f"{type(error).__name__}: {error}") from None
        self._store.advance(key, Event.LOADED).loaded = loaded
        if replaced is not None:
            self._store.retire(replaced)
            self._in_background(self._let_go(replaced))

    def _load_failed(self, key: VersionKey, reason: str, refused_bytes: int = 0) -> InvalidArgumentError:
        self._store.advance(key, Event.LOAD_FAILED, reason, refused_bytes)
        _log.error("model not loaded", model=key.model, version=key.version, reason=reason)
        return InvalidArgumentError(
            f"load failed for model '{key.model}': version {key.version} is at UNAVAILABLE state: {reason};"
        )

    async def _take_down(self, key: VersionKey) -> None:
        slot = self._store.slot(key)
        if slot.state is not State.READY or slot.loaded is None:
            return
        loaded = slot.loaded
        self._store.advance(key, Event.UNLOAD_ORDERED)
        await self._retire(loaded)
        self._store.advance(key, Event.DRAINED, "unloaded").loaded = None
        footprint_bytes = loaded.footprint_bytes
        del loaded
        self._loader.release(key, footprint_bytes)
        _log.info("model unloaded", model=key.model, version=key.version)

    async def _let_go(self, replaced: LoadedVersion) -> None:
        await self._retire(replaced)
        self._store.retired(replaced)
        key, footprint_bytes = replaced.key, replaced.footprint_bytes
        del replaced
        self._loader.release(key, footprint_bytes)

    async def _retire(self, loaded: LoadedVersion) -> None:
        await loaded.batcher.drained()
        loaded.batcher.stop()

    def _in_background(self, work: Awaitable[None]) -> None:
        task = asyncio.ensure_future(work)
        self._background.add(task)
        task.add_done_callback(self._background.discard)


def _versions(model: RepositoryModel, config: ModelConfig) -> tuple[int, ...]:
    selection = select(_version_policy(config), model.versions)
    if selection.missing:
        raise ModelFilesError(f"failed to load '{model.name}', version {selection.missing[0]} is not in the repository")
    if not selection.serve:
        raise ModelFilesError(f"failed to load '{model.name}', no version is available")
    return selection.serve


def _version_policy(config: ModelConfig) -> VersionPolicy:
    match config.version_policy.WhichOneof("policy_choice"):
        case "all":
            return Every()
        case "specific":
            return Specific(tuple(config.version_policy.specific.versions))
        case _:
            return Latest(config.version_policy.latest.num_versions or 1)
