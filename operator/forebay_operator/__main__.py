"""`python -m forebay_operator`: the operator in a cluster."""

import argparse
import asyncio
import contextlib
import gc
import resource
import signal
import sys
from collections.abc import Coroutine
from pathlib import Path
from typing import Any, Final

from forebay_operator import handlers
from forebay_operator.manifests.kinds import Kind
from forebay_operator.settings import (
    Identity,
    OperatorSettings,
    SettingsError,
    identity,
    read_key,
    read_store_credentials,
)
from forebay_operator.worlds.clock import Clock
from forebay_operator.worlds.kubernetes import watching
from forebay_operator.worlds.kubernetes.api_server import ApiServer
from forebay_operator.worlds.kubernetes.audit import Audit, wait_for_definition
from forebay_operator.worlds.kubernetes.credentials import Credentials, CredentialsError
from forebay_operator.worlds.kubernetes.lease import Lease
from forebay_operator.worlds.kubernetes.metrics import OperatorMetrics
from forebay_operator.worlds.kubernetes.pages import ListenError, Pages
from forebay_operator.worlds.kubernetes.reign import Mandate, Means, Reign
from forebay_operator.worlds.kubernetes.secrets import StoreKeys
from forebay_operator.worlds.kubernetes.store import Store
from forebay_schema import logs
from forebay_schema.network import ANY

_WRONG_USAGE: Final = 2
_GARBAGE: Final = 20_000
"""New objects, beyond those that went again, after which the collector of cyclic garbage looks at them: most of what is read
of a cluster stays, and looking through it again and again is a fifth of what the start costs."""
_log = logs.Logger("forebay.operator")


def main(arguments: list[str] | None = None) -> int:
    given = _parser().parse_args(arguments)
    try:
        settings = OperatorSettings.read(given.config)
        logs.configure(settings.log_level)
        watching.quieten()
        _allow_connections()
        gc.set_threshold(_GARBAGE, 20, 50)
        mandate = Mandate(
            installation=settings.installation(),
            settings=settings.step_settings(),
            devices=settings.declared_devices(),
            token_key=read_key(given.key_file),
            store_keys=StoreKeys(
                writing=read_store_credentials(given.store_credentials),
                reading=read_store_credentials(given.store_reading_credentials),
            ),
        )
        asyncio.run(Operator(settings, mandate, identity(), given).run())
    except (SettingsError, CredentialsError, ListenError) as error:
        print(f"forebay-operator: {error}", file=sys.stderr)
        return _WRONG_USAGE
    return 0


def _allow_connections() -> None:
    """Two connections a server: many containers begin with 1,024 descriptors and may have far more."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="forebay-operator", description="Serve the ModelDeployments of a cluster.")
    parser.add_argument("--config", type=Path, required=True, metavar="FILE", help="the installation's settings, JSON or YAML")
    parser.add_argument(
        "--key-file", type=Path, required=True, metavar="FILE", help="secret key that servers' repository tokens are made of"
    )
    parser.add_argument(
        "--store-credentials", type=Path, metavar="DIR", help="files named like the variables that open the store"
    )
    parser.add_argument(
        "--store-reading-credentials", type=Path, metavar="DIR", help="the same, of what can only read, for who need not write"
    )
    parser.add_argument(
        "--http-address",
        default="127.0.0.1:8080",
        metavar="HOST:PORT",
        help=f"for /metrics, /healthz, /readyz; {ANY}:PORT: by IPv6 and IPv4; port 0: a free one",
    )
    parser.add_argument("--context", default="", help="context of the kubeconfig, outside a cluster")
    return parser


class Operator:
    """The process: it watches all the time, and acts while it holds the lease."""

    def __init__(self, settings: OperatorSettings, mandate: Mandate, who: Identity, given: argparse.Namespace) -> None:
        self._settings = settings
        self._mandate = mandate
        self._who = who
        self._listen: str = given.http_address
        self._credentials = Credentials(who.kubeconfig, given.context)
        self._changed = asyncio.Event()
        self._stop = asyncio.Event()
        self._metrics = OperatorMetrics()
        self._store = Store(self._note)

    async def run(self) -> None:
        """Run until SIGINT or SIGTERM."""
        stop = self._stop
        self._listen_to_signals()
        api = ApiServer(await self._credentials.configuration(), self._metrics.called)
        work = asyncio.ensure_future(self._work(api))
        asked = asyncio.ensure_future(stop.wait())
        try:
            await asyncio.wait([work, asked], return_when=asyncio.FIRST_COMPLETED)
        finally:
            asked.cancel()
            await _ended(work)
            await api.close()

    async def _work(self, api: ApiServer) -> None:
        settings, who = self._settings, self._who
        namespaces = settings.namespaces
        watcher = watching.Watcher(
            lambda: handlers.registry(self._store, self._credentials.connection), namespaces, self._listen_to_signals
        )
        audit = Audit(api, self._store, namespaces, watcher.restart, settings.audit_seconds)
        lease = Lease(api, who.namespace, settings.leadership.name, who.name, settings.terms())
        means = Means(
            api=api,
            store=self._store,
            audit=audit,
            changed=self._changed,
            clock=Clock(),
            metrics=self._metrics,
            name=who.name,
            namespace=who.namespace,
            own_namespace_is_watched=not namespaces or who.namespace in namespaces,
            may_act=lease.may_act,
        )
        pages = Pages(self._metrics.registry, lambda: _problem(audit))
        try:
            at = await pages.open(self._listen)
            _log.info("the operator listens", address=at, identity=who.name, namespace=who.namespace)
            await wait_for_definition(api, namespaces[0] if namespaces else "")
            await _together(watcher.run(), audit.run(), lease.lead(lambda: Reign(means, self._mandate).run()))
        finally:
            await pages.close()

    def _listen_to_signals(self) -> None:
        for number in (signal.SIGINT, signal.SIGTERM):
            asyncio.get_running_loop().add_signal_handler(number, self._stop.set)

    def _note(self, kind: Kind) -> None:
        """A change of an object: a ModelDeployment's should not wait for the next second, nor should any other."""
        del kind
        self._changed.set()


def _problem(audit: Audit) -> str:
    if audit.synced.is_set():
        return ""
    return f"the API server's objects are not all known: {audit.problem or 'they are being read'}"


async def _together(*works: Coroutine[Any, Any, None]) -> None:
    """Run all of them; the first that ends ends the others."""
    tasks = [asyncio.ensure_future(work) for work in works]
    try:
        done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        for task in done:
            task.result()
    finally:
        # The lease goes back first, so that another operator need not wait for it.
        for task in reversed(tasks):
            await _ended(task)


async def _ended(task: "asyncio.Future[None]") -> None:
    task.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await task


if __name__ == "__main__":
    sys.exit(main())
