"""`forebay-gateway`: configures and supervises an Envoy, holds requests for models with no ready replica, reports demand."""

import argparse
import asyncio
import os
import resource
import signal
import sys
from pathlib import Path

import uvloop

from forebay_gateway.gateway import Gateway, RouteSource, Stop
from forebay_gateway.routefile import RouteFile
from forebay_gateway.settings import ClusterScope, Settings, SettingsError
from forebay_schema import logs
from forebay_schema.network import ANY, address_for
from forebay_schema.routes import HoldLimits


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
    _add_routes(parser)
    _add_places(parser)
    _add_envoy(parser)
    parser.add_argument(
        "--hold-surges",
        action="store_true",
        help="have requests wait here, in order, while a model's replicas have more of them than they can do soon",
    )
    _add_end(parser)
    given = parser.parse_args(arguments)
    if not given.kubernetes and (given.namespace or given.default_namespace or given.hold_seconds):
        parser.error("--namespace, --default-namespace and --hold-seconds go with --kubernetes: a route table says so itself")
    return _settings(given)


def _add_routes(parser: argparse.ArgumentParser) -> None:
    source = parser.add_mutually_exclusive_group(required=True)
    source.add_argument("--routes", type=Path, help="the route table; read again whenever it is replaced")
    source.add_argument(
        "--kubernetes",
        action="store_true",
        help="take routes from the ModelDeployments of the API server that KUBECONFIG names, or of the cluster it runs in",
    )
    parser.add_argument("--namespace", action="append", default=[], help="follow this namespace; several times; default: all")
    parser.add_argument("--default-namespace", default="", help="namespace of a model that is named by path alone")
    parser.add_argument(
        "--hold-seconds",
        type=float,
        help=f"how long a request may wait for a replica (default: {HoldLimits().seconds:g})",
    )


def _add_places(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--run-dir", type=Path, required=True, help="folder for Envoy's configuration, log, sockets and process id"
    )
    parser.add_argument("--control-socket", type=Path, required=True, help="Unix socket for /demand, /healthz and /metrics")
    parser.add_argument("--control-address", default="", help="HOST:PORT for the same by TCP")
    parser.add_argument("--ready-file", type=Path, help="written with process ids and addresses when Envoy is ready")
    every = f"{ANY}: all of this machine, by IPv6 and IPv4"
    parser.add_argument("--http-address", default="127.0.0.1", help=f"address of both ports; {every} (default: %(default)s)")
    parser.add_argument("--http-port", type=int, default=8000, help="default: %(default)s")
    parser.add_argument("--grpc-port", type=int, default=8001, help="default: %(default)s")


def _add_envoy(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--concurrency", type=int, default=1, help="Envoy's worker threads (default: %(default)s)")
    parser.add_argument(
        "--keep-envoy", action="store_true", help="leave Envoy running at SIGTERM, for the next gateway to adopt"
    )
    parser.add_argument(
        "--envoy-patience-seconds",
        type=float,
        default=30.0,
        help="an Envoy that answers nothing for so long hangs, and is replaced (default: %(default)g)",
    )


def _add_end(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--drain-seconds",
        type=float,
        default=2.0,
        help="how long requests may still take at SIGTERM; a second signal ends at once (default: %(default)g)",
    )
    parser.add_argument(
        "--refuse-while-draining",
        action="store_true",
        help="refuse new connections from SIGTERM on: for a gateway beside which there is no other",
    )


def _settings(given: argparse.Namespace) -> Settings:
    fields = vars(given)
    kubernetes, namespaces = fields.pop("kubernetes"), tuple(fields.pop("namespace"))
    scope = ClusterScope(
        namespaces=namespaces,
        default_namespace=fields.pop("default_namespace") or "default",
        hold_seconds=fields.pop("hold_seconds") or HoldLimits().seconds,
    )
    fields["http_address"] = address_for(fields["http_address"])
    return Settings(cluster=scope if kubernetes else None, **fields)


async def _run(settings: Settings) -> None:
    stop = Stop()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.ask)
    await Gateway(settings, _source(settings)).run(stop)


def _source(settings: Settings) -> RouteSource:
    if settings.routes:
        return RouteFile(settings.routes)
    assert settings.cluster
    # Its libraries take half a second to load, for nothing where there is no cluster.
    from forebay_gateway.cluster.source import ClusterRoutes  # noqa: PLC0415

    return ClusterRoutes(settings.cluster, settings.run_dir / "routes.json")


def _raise_descriptor_limit() -> None:
    """A held HTTP/1.1 request takes one of our descriptors and two of Envoy's, which inherits the limit."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))


if __name__ == "__main__":
    sys.exit(main())
