"""`forebay-gateway`: configures and supervises an Envoy, holds requests for models with no ready replica, reports demand."""

import argparse
import asyncio
import os
import resource
import signal
import sys
from pathlib import Path

import uvloop

from forebay_gateway.gateway import Gateway
from forebay_gateway.settings import Settings, SettingsError
from forebay_schema import logs


def main(arguments: list[str] | None = None) -> int:
    settings = parse(arguments)
    logs.configure()
    # Everything we make is for this user only: sockets, logs, what Envoy writes.
    os.umask(0o077)
    _raise_descriptor_limit()
    try:
        uvloop.run(_run(settings))
    except SettingsError as error:
        print(f"forebay-gateway: {error}", file=sys.stderr)
        return 1
    return 0


def parse(arguments: list[str] | None = None) -> Settings:
    parser = argparse.ArgumentParser(prog="forebay-gateway", description=__doc__)
    parser.add_argument("--routes", type=Path, required=True, help="the route table; read again whenever it is replaced")
    parser.add_argument(
        "--run-dir", type=Path, required=True, help="folder for Envoy's configuration, log, sockets and process id"
    )
    parser.add_argument("--control-socket", type=Path, required=True, help="Unix socket for /demand, /healthz and /metrics")
    parser.add_argument("--ready-file", type=Path, help="written with process ids and addresses when Envoy is ready")
    parser.add_argument("--http-address", default="127.0.0.1", help="address of both ports (default: %(default)s)")
    parser.add_argument("--http-port", type=int, default=8000, help="default: %(default)s")
    parser.add_argument("--grpc-port", type=int, default=8001, help="default: %(default)s")
    parser.add_argument("--concurrency", type=int, default=1, help="Envoy's worker threads (default: %(default)s)")
    parser.add_argument(
        "--keep-envoy", action="store_true", help="leave Envoy running at SIGTERM, for the next gateway to adopt"
    )
    return Settings(**vars(parser.parse_args(arguments)))


async def _run(settings: Settings) -> None:
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    await Gateway(settings).run(stop)


def _raise_descriptor_limit() -> None:
    """A held HTTP/1.1 request takes one of our descriptors and two of Envoy's, which inherits the limit."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))


if __name__ == "__main__":
    sys.exit(main())
