"""Events: short enough for API servers, told once, and again when they recur."""

import asyncio
from typing import cast

import pytest

from forebay_operator.manifests.event import News, Subject, event
from forebay_operator.manifests.kinds import PODS, Json
from forebay_operator.worlds.kubernetes.api_server import ApiServer
from forebay_operator.worlds.kubernetes.news import Newsroom

SUBJECT = Subject(PODS, "default", "digits", "uid-1")


def _news(note: str = "It waits.") -> News:
    return News("Warning", "Waits", "Wait", note)


class WritingApi:
    """Takes Events, as an API server that has each for ever."""

    def __init__(self) -> None:
        self.names: list[str] = []
        self.three = asyncio.Event()

    async def create(self, path: str, manifest: Json) -> Json:
        assert "/events" in path
        self.names.append(manifest["metadata"]["name"])
        if len(self.names) == 3:
            self.three.set()
        return manifest


@pytest.mark.parametrize("note", ["a" * 5000, "é" * 600, "a" + "…" * 400, "\U0001f600" * 300, "\ud800" * 2000])
def test_a_note_is_cut_to_1024_bytes_between_two_characters(note: str) -> None:
    said = event(SUBJECT, _news(note), "operator-1", 0.0)["note"]
    assert 1000 < len(said.encode()) <= 1024
    assert said.endswith("…")


def test_a_note_of_1024_bytes_is_whole() -> None:
    note = "é" * 512
    assert event(SUBJECT, _news(note), "operator-1", 0.0)["note"] == note


def test_what_recurs_within_an_hour_is_told_once_and_after_an_hour_again_under_another_name() -> None:
    api, moments = WritingApi(), [0.0, 10.0, 3599.0, 3600.0, 3700.0, 7200.0]

    async def run() -> None:
        newsroom = Newsroom(cast("ApiServer", api), "operator-1", lambda: moments.pop(0))
        while moments:
            newsroom.tell(SUBJECT, _news())
        writing = asyncio.create_task(newsroom.run())
        async with asyncio.timeout(60):
            await api.three.wait()
        writing.cancel()
        await asyncio.gather(writing, return_exceptions=True)

    asyncio.run(run())
    assert len(set(api.names)) == len(api.names) == 3
