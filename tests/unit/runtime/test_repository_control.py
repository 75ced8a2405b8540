"""Orders and starts in one process: real models on a simulated device, without a network."""

import asyncio
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import fsspec
import pytest

from forebay_runtime.domain.device_spec import DeviceSpec
from forebay_runtime.domain.lifecycle import State
from forebay_runtime.domain.orders import VersionKey
from forebay_runtime.domain.pace import UNPACED
from forebay_runtime.engine.artifacts import ArtifactCache
from forebay_runtime.engine.devices import open_device
from forebay_runtime.engine.model_files import ModelFilesError, ModelRepository
from forebay_runtime.service.loading import Loader
from forebay_runtime.service.model_store import ModelStore
from forebay_runtime.service.repository_control import ControlMode, RepositoryControl
from forebay_runtime.service.run_watch import RunWatch
from forebay_runtime.service.server_state import HeldVersion, ServerState, StateFile
from forebay_schema.repository import LoadOrder, UnloadOrder
from runtime_models import MIB, add_model, put_artifact

LARGE = 1 << 30

Control = Callable[..., RepositoryControl]


class ExpiredError(Exception):
    """Of a kind that only this file system has."""


class Expired(fsspec.AbstractFileSystem):  # type: ignore[misc]  # fsspec is not typed
    """Lists one model, and lets nobody read it; the folder `locked` cannot even be listed."""

    protocol = "expired"
    cachable = False

    def ls(self, path: str, detail: bool = True, **_options: Any) -> list[dict[str, Any]]:  # noqa: ARG002 - fsspec's signature
        if "locked" in path:
            raise ExpiredError("the credentials have expired")
        return [{"name": f"{path}/m", "type": "directory", "size": 0}]

    def get(self, *_arguments: Any, **_options: Any) -> None:
        raise ExpiredError("the credentials have expired")


@pytest.fixture(autouse=True)
def _expired_file_system() -> None:  # pyright: ignore[reportUnusedFunction] - pytest uses it
    fsspec.register_implementation("expired", Expired, clobber=True)


@pytest.fixture
def store() -> ModelStore:
    return ModelStore()


@pytest.fixture
def control(tmp_path: Path, store: ModelStore) -> Iterator[Control]:
    """Makes a control over 20 MiB of simulated memory; `tmp_path/scratch` is its scratch."""
    loaders: list[Loader] = []

    def make(repository: str = "", mode: ControlMode = "explicit") -> RepositoryControl:
        loaders.append(Loader(open_device(DeviceSpec("simulated", memory_bytes=20 * MIB, pace=UNPACED)), 60.0, RunWatch(60.0)))
        return RepositoryControl(
            store=store,
            loader=loaders[-1],
            artifacts=ArtifactCache(tmp_path / "scratch" / "artifacts", LARGE),
            state_file=StateFile(tmp_path / "scratch" / "state.json"),
            repository=ModelRepository(repository, tmp_path / "scratch") if repository else None,
            mode=mode,
        )

    yield make
    for loader in loaders:
        loader.close()


def an_order(folder: Path, version: int = 1, sequence: int = 1, *, constant: float = 1.0) -> LoadOrder:
    uri, digest = put_artifact(folder / "store", add_model(constant))
    return LoadOrder(forebay_artifact=uri, forebay_digest=digest, forebay_version=version, forebay_sequence=sequence)


def write_held(folder: Path, held: Sequence[HeldVersion]) -> None:
    StateFile(folder / "scratch" / "state.json").write(ServerState(held=tuple(held)))


def a_held(folder: Path, model: str) -> HeldVersion:
    return HeldVersion(model=model, order=an_order(folder), config="{}")


async def test_what_is_let_go_of_while_the_server_starts_is_not_loaded_again(
    tmp_path: Path, control: Control, store: ModelStore
) -> None:
    write_held(tmp_path, [a_held(tmp_path, "first"), a_held(tmp_path, "second")])
    under_test = control()
    starting = asyncio.create_task(under_test.start([]))
    await asyncio.sleep(0)
    await under_test.obey_unload("second", UnloadOrder(forebay_version=1, forebay_sequence=7))
    await starting
    assert store.slot(VersionKey("first", 1)).state is State.READY
    assert store.slot(VersionKey("second", 1)).state is not State.READY


@pytest.mark.parametrize("repository", ["expired://open", "expired://locked"])
async def test_a_repository_that_cannot_be_read_keeps_nothing_else_from_being_held(
    tmp_path: Path, control: Control, store: ModelStore, repository: str
) -> None:
    write_held(tmp_path, [a_held(tmp_path, "held")])
    await control(repository).start(["*", "m"])
    assert store.slot(VersionKey("held", 1)).state is State.READY


async def test_a_server_that_can_serve_nothing_but_its_repository_does_not_start_without(control: Control) -> None:
    with pytest.raises(ModelFilesError, match="the credentials have expired"):
        await control("expired://locked", "none").start([])
