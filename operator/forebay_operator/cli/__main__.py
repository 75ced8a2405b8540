"""The command line: `forebay COMMAND …`. Exit status 0: done; 1: refused or failed; 2: wrong usage; 3: no `forebay up` runs;
4: there is no such ModelDeployment."""

import argparse
import importlib.metadata
import sys
from collections.abc import Callable, Sequence
from typing import Final

from forebay_operator.cli import apply, autoscaler, convert, crd, delete, explain, get, logs, top, up
from forebay_operator.cli.connection import CommandError
from forebay_operator.cli.demo import command as demo

COMMANDS: Final = (up, apply, get, top, explain, logs, delete, convert, crd, demo, autoscaler)
_INTERRUPTED: Final = 130


def parser() -> argparse.ArgumentParser:
    """The whole command line."""
    top_level = argparse.ArgumentParser(prog="forebay", description="Model deployments on GPUs.")
    top_level.add_argument("--version", action="version", version=f"forebay {importlib.metadata.version('forebay')}")
    commands = top_level.add_subparsers(metavar="COMMAND", required=True)
    for command in COMMANDS:
        command.add(commands)
    return top_level


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command."""
    options = parser().parse_args(arguments)
    run: Callable[[argparse.Namespace], int] = options.run
    try:
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
