"""`forebay up`: Forebay on this machine, until Ctrl-C."""

import argparse
import asyncio
import contextlib
import os
from pathlib import Path
from typing import Final

from forebay_operator.api.loading import SUFFIXES
from forebay_operator.cli.connection import WRONG_USAGE, CommandError
from forebay_operator.cli.local_api import state_folder
from forebay_operator.cli.naming import Commands, add_state

_LAST_PORT: Final = 65535


def add(commands: Commands) -> None:
    parser = commands.add_parser("up", help="serve models on this machine; edits of the files are applied at once")
    parser.add_argument("files", nargs="*", type=Path, metavar="FILE|FOLDER", help="ModelDeployments (YAML)")
    parser.add_argument(
        "--devices",
        action="append",
        default=[],
        metavar="DEVICES",
        help="cpu[:N], gpu, or simulated:COUNTxMEMORY[,pace=BASE+PER_ITEM], for example simulated:2x16Gi,pace=20ms+5ms;"
        " may be given once for each kind (default: the GPUs, if there are any, and the CPU)",
    )
    parser.add_argument("--http-port", type=_port, metavar="PORT", default=8000, help="default 8000; 0: any free one")
    parser.add_argument("--grpc-port", type=_port, metavar="PORT", default=8001, help="default 8001; 0: any free one")
    parser.add_argument(
        "--triton-repository",
        type=Path,
        metavar="DIR",
        help="serve an existing Triton model repository as it is, by a server of its own on the first device",
    )
    parser.add_argument("--trust-source", action="store_true", help="convert even where conversions cannot be sandboxed")
    add_state(parser)
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    # Imported here: the other commands need none of it and should start at once.
    from forebay_operator.worlds.local.application import UpOptions, run_up  # noqa: PLC0415
    from forebay_operator.worlds.local.devices import DeviceError, Machine, devices_of, machine_memory_bytes  # noqa: PLC0415
    from forebay_operator.worlds.local.gpus import gpus_of_this_machine  # noqa: PLC0415
    from forebay_operator.worlds.local.ports import PortError  # noqa: PLC0415
    from forebay_operator.worlds.local.state import StateError, locked  # noqa: PLC0415

    _check_files(options.files)
    _check_repository(options.triton_repository)
    if options.http_port == options.grpc_port != 0:
        raise CommandError(f"--http-port and --grpc-port are both {options.http_port}: give each its own", WRONG_USAGE)
    machine = Machine(os.cpu_count() or 1, machine_memory_bytes(), gpus_of_this_machine)
    folder = state_folder(options.state)
    try:
        up_options = UpOptions(
            files=options.files,
            devices=devices_of(options.devices, machine),
            http_port=options.http_port,
            grpc_port=options.grpc_port,
            triton_repository=options.triton_repository and options.triton_repository.absolute(),
            trust_source=options.trust_source,
        )
        folder.prepare()
        with locked(folder):
            _log_to(folder.logs / "forebay.log")
            _greet(folder.root, options.files, options.triton_repository)
            asyncio.run(run_up(folder, up_options, _show))
    except DeviceError as error:
        raise CommandError(str(error), WRONG_USAGE) from None
    except (PortError, StateError) as error:
        raise CommandError(str(error)) from None
    print("Everything has ended.")  # noqa: T201
    return 0


def _show(event: object) -> None:
    # Serving goes on when nobody reads what is printed, or there is no room for it.
    with contextlib.suppress(OSError):
        print(event, flush=True)  # noqa: T201 - what happens, for the person at the terminal


def _port(text: str) -> int:
    if not text.isdecimal() or int(text) > _LAST_PORT:
        raise argparse.ArgumentTypeError(f"{text!r} is no port: write a number from 1 to {_LAST_PORT}, or 0 for any free one")
    return int(text)


def _check_files(files: list[Path]) -> None:
    for path in files:
        if not path.exists():
            raise CommandError(f"there is no {path}: give files or folders with ModelDeployments", WRONG_USAGE)
        if not os.access(path, os.R_OK | (os.X_OK if path.is_dir() else 0)):
            raise CommandError(f"{path} cannot be read: check its permissions")


def _check_repository(folder: Path | None) -> None:
    if folder and not folder.is_dir():
        raise CommandError(f"there is no folder {folder}: give a Triton model repository", WRONG_USAGE)


def _log_to(path: Path) -> None:
    from forebay_schema import logs  # noqa: PLC0415

    # Held open for as long as this process lives.
    logs.configure(stream=path.open("a", encoding="utf-8"))


def _greet(root: Path, files: list[Path], triton_repository: Path | None) -> None:
    repository = [f"the Triton repository {triton_repository}"] if triton_repository else []
    what = ", ".join([*(str(path) for path in files), *repository, "what `forebay apply FILE` brings"])
    print(f"Forebay serves {what}. State: {root}. Ctrl-C ends everything.", flush=True)  # noqa: T201
    for path in files:
        if path.is_dir() and not any(child.suffix in SUFFIXES for child in path.iterdir()):
            print(f"There is no file *{', *'.join(SUFFIXES)} in {path} yet; what comes is served.", flush=True)  # noqa: T201
