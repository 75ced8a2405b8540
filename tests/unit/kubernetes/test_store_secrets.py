"""Which credentials of the store are copied to which namespaces: those that can write only where something is written."""

import asyncio
from collections.abc import Sequence
from typing import cast

import pytest

from forebay_operator.manifests.kinds import Json
from forebay_operator.manifests.owners import Owner
from forebay_operator.worlds.kubernetes.api_server import ApiServer
from forebay_operator.worlds.kubernetes.secrets import Secrets, StoreKeys
from forebay_operator.worlds.kubernetes.servers import Tokens
from forebay_operator.worlds.kubernetes.store import Store
from forebay_operator.worlds.kubernetes.writer import Writer

WRITING = {"AWS_ACCESS_KEY_ID": "writer"}
READING = {"AWS_ACCESS_KEY_ID": "reader"}
TOKEN, STORE, READ = "forebay-repository-token", "forebay-store", "forebay-store-read"


class Taking:
    """Takes whatever is written, and remembers the data of each Secret."""

    def __init__(self) -> None:
        self.data: dict[str, Json] = {}

    async def patch(self, path: str, patch: Sequence[Json]) -> None:
        (data,) = [each["value"] for each in patch if each["path"] == "/data"]
        self.data[path.rpartition("/")[2]] = data


async def _made(keys: StoreKeys, *, servers: bool, conversions: bool) -> dict[str, Json]:
    api = Taking()
    writer = Writer(cast("ApiServer", api), Store(lambda _: None), lambda *_: None, lambda: None)
    secrets = Secrets(writer, Tokens(b"k" * 32), keys, lambda _: [Owner("digits", "1")])
    secrets.keep({"a"} if servers else set(), {"a"} if conversions else set(), set(), 0.0)
    async with asyncio.timeout(60):
        while len(asyncio.all_tasks()) > 1:  # noqa: ASYNC110 - nothing else tells that no write is under way
            await asyncio.sleep(0)
    return api.data


@pytest.mark.parametrize(
    ("keys", "with_servers", "with_conversions", "with_both"),
    [
        (StoreKeys(), {TOKEN}, set[str](), {TOKEN}),
        (StoreKeys(WRITING), {TOKEN, STORE}, {STORE}, {TOKEN, STORE}),
        (StoreKeys(WRITING, READING), {TOKEN, READ}, {STORE, READ}, {TOKEN, STORE, READ}),
    ],
    ids=["none needed", "one for all", "one that can only read"],
)
async def test_a_namespace_has_the_secrets_that_its_pods_mount(
    keys: StoreKeys, with_servers: set[str], with_conversions: set[str], with_both: set[str]
) -> None:
    assert (await _made(keys, servers=True, conversions=False)).keys() == with_servers
    assert (await _made(keys, servers=False, conversions=True)).keys() == with_conversions
    assert (await _made(keys, servers=True, conversions=True)).keys() == with_both


async def test_each_holds_its_own_credentials() -> None:
    made = await _made(StoreKeys(WRITING, READING), servers=True, conversions=True)

    assert (made[STORE], made[READ]) == ({"AWS_ACCESS_KEY_ID": "d3JpdGVy"}, {"AWS_ACCESS_KEY_ID": "cmVhZGVy"})
