"""The command line: `forebay COMMAND …`, and `kubectl forebay COMMAND …` where it is called `kubectl-forebay`.

Exit status 0: done; 1: refused or failed; 2: wrong usage; 3: no `forebay up` runs, or no cluster answers; 4: there is no such
ModelDeployment.
"""

import argparse
import importlib
import importlib.metadata
import io
import sys
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Final

from forebay_operator.cli.connection import CommandError
from forebay_operator.cli.naming import Commands

COMMANDS: Final = {
    "up": "up",
    "apply": "apply",
    "get": "get",
    "top": "top",
    "explain": "explain",
    "logs": "logs",
    "delete": "delete",
    "convert": "convert",
    "crd": "crd",
    "demo": "demo.command",
    "autoscaler": "autoscaler",
    "simulate": "simulate.command",
}
"""The module of each command."""
OF_CLUSTERS: Final = ("apply", "get", "top", "explain", "logs", "delete", "crd")
"""The commands that kubectl's plugin has: what is about a cluster."""
_PLUGIN: Final = "kubectl-forebay"
_INTERRUPTED: Final = 130


def parser(only: str | None = None, *, plugin: bool = False) -> argparse.ArgumentParser:
    """The whole command line, or as much of it as one command needs: each has imports of its own, and should start at once.
    As a plugin of kubectl it is always about a cluster."""
    known = OF_CLUSTERS if plugin else tuple(COMMANDS)
    top_level = argparse.ArgumentParser(
        prog="kubectl forebay" if plugin else "forebay", description="Model deployments on GPUs."
    )
    top_level.set_defaults(cluster=plugin)
    top_level.add_argument("--version", action="version", version=f"forebay {importlib.metadata.version('forebay')}")
    commands = top_level.add_subparsers(metavar="COMMAND", required=True)
    add_commands(commands, [only] if only and only in known else known)
    return top_level


def add_commands(commands: Commands, names: Iterable[str] = COMMANDS) -> None:
    """Add the parsers of the named commands, in this order."""
    for name in names:
        importlib.import_module(f"forebay_operator.cli.{COMMANDS[name]}").add(commands)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            # A terminal that cannot show a sign shows another; no command fails for it.
            stream.reconfigure(errors="replace")
    given = sys.argv[1:] if arguments is None else list(arguments)
    plugin = Path(sys.argv[0]).name == _PLUGIN
    try:
        options = parser(given[0] if given else None, plugin=plugin).parse_args(given)
        run: Callable[[argparse.Namespace], int] = options.run
        return run(options)
    except CommandError as error:
        print(f"forebay: {error}", file=sys.stderr)
        return error.status
    except KeyboardInterrupt:
        return _INTERRUPTED
    except BrokenPipeError:
        # The reader of our output went away, as `head` does.
        sys.stderr.close()
        return 0


if __name__ == "__main__":
    sys.exit(main())
