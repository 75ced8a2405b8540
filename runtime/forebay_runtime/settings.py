"""The command line of a server: Triton's flags where Triton has one, and Forebay's."""

import argparse
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from forebay_runtime.domain.device_spec import DeviceSpec, DeviceSpecError, parse_device, parse_size
from forebay_schema.network import ANY, address_for

_MOST_SECONDS: Final = 365 * 24 * 3600
_ADDRESS: Final = f"{ANY}: all of this machine, by IPv6 and IPv4 (default: %(default)s)"


@dataclass(frozen=True, slots=True)
class Settings:
    """Read once, at the start. Ports: 0 takes a free one. Sizes in bytes."""

    model_repository: str | None
    explicit: bool
    load_models: tuple[str, ...]
    http_address: str
    http_port: int
    grpc_address: str
    grpc_port: int
    metrics_address: str
    metrics_port: int
    http_max_input_size: int
    request_memory: int
    """0: the server chooses."""
    strict_readiness: bool
    exit_timeout_s: float
    warm_up_timeout_s: float
    run_timeout_s: float
    auto_complete: bool
    repository_token_file: Path | None
    device: DeviceSpec
    device_memory: int
    scratch: Path | None
    artifact_cache: int
    ready_file: Path | None
    log_level: str


def parse(arguments: Sequence[str] | None = None) -> Settings:
    """Read the command line; exits with a sentence where it is wrong."""
    parser = _parser()
    given = parser.parse_args(arguments)
    if given.model_control_mode == "none" and given.load_model:
        parser.error("--load-model needs --model-control-mode=explicit")
    if given.model_control_mode == "none" and given.model_repository is None:
        parser.error("--model-repository is needed, except with --model-control-mode=explicit")
    return Settings(
        model_repository=given.model_repository,
        explicit=given.model_control_mode == "explicit",
        load_models=tuple(given.load_model),
        http_address=address_for(given.http_address),
        http_port=given.http_port,
        grpc_address=address_for(given.grpc_address),
        grpc_port=given.grpc_port,
        metrics_address=address_for(given.metrics_address or given.http_address),
        metrics_port=given.metrics_port,
        http_max_input_size=given.http_max_input_size,
        request_memory=given.request_memory,
        strict_readiness=given.strict_readiness,
        exit_timeout_s=given.exit_timeout_secs,
        warm_up_timeout_s=given.warm_up_timeout_secs,
        run_timeout_s=given.run_timeout_secs,
        auto_complete=not given.disable_auto_complete_config,
        repository_token_file=given.repository_token_file,
        device=given.device,
        device_memory=given.device_memory,
        scratch=given.scratch,
        artifact_cache=given.artifact_cache,
        ready_file=given.ready_file,
        log_level=given.log_level,
    )


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="forebay-runtime",
        description="Serve ONNX models over the protocol that Triton clients speak.",
        allow_abbrev=False,
    )
    _add_models(parser)
    _add_network(parser)
    _add_device(parser)
    return parser


def _add_models(parser: argparse.ArgumentParser) -> None:
    models = parser.add_argument_group("models")
    models.add_argument(
        "--model-repository", "--model-store", metavar="URI", help="folder or fsspec URI in Triton's repository layout"
    )
    models.add_argument(
        "--model-control-mode",
        choices=("none", "explicit"),
        default="none",
        help="none: serve all of the repository; explicit: serve what is loaded by call (default: none)",
    )
    models.add_argument(
        "--load-model", metavar="NAME", action="append", default=[], help="load at start, in explicit mode; * for all"
    )
    models.add_argument("--disable-auto-complete-config", action="store_true", help="use configurations as they are")
    models.add_argument(
        "--strict-readiness",
        type=_boolean,
        nargs="?",
        const=True,
        default=True,
        metavar="BOOL",
        help="the server is ready when every model is (default: true)",
    )
    models.add_argument(
        "--warm-up-timeout-secs",
        type=_time_limit,
        default=60.0,
        metavar="SECONDS",
        help="a model whose largest batches take longer than this at load is refused (default: 60)",
    )
    models.add_argument(
        "--run-timeout-secs",
        type=_time_limit,
        default=60.0,
        metavar="SECONDS",
        help="a batch that a model computes for longer than this is stopped; answered by 504 (default: 60)",
    )
    models.add_argument(
        "--repository-token-file",
        type=Path,
        metavar="FILE",
        help="loading and unloading need the token in this file, in the header forebay-repository-token",
    )


def _add_network(parser: argparse.ArgumentParser) -> None:
    network = parser.add_argument_group("network")
    network.add_argument("--http-address", default="127.0.0.1", metavar="ADDRESS", help=_ADDRESS)
    network.add_argument("--http-port", type=_port, default=8000, metavar="PORT", help="0: a free one (default: 8000)")
    network.add_argument("--grpc-address", default="127.0.0.1", metavar="ADDRESS", help=_ADDRESS)
    network.add_argument("--grpc-port", type=_port, default=8001, metavar="PORT", help="0: a free one (default: 8001)")
    network.add_argument("--metrics-address", default="", metavar="ADDRESS", help="default: that of HTTP")
    network.add_argument("--metrics-port", type=_port, default=8002, metavar="PORT", help="0: a free one (default: 8002)")
    network.add_argument("--http-max-input-size", type=int, default=64 << 20, metavar="BYTES", help="default: 64 MiB")
    network.add_argument(
        "--request-memory",
        type=_size,
        default=0,
        metavar="SIZE",
        help="what the bodies of all unanswered requests may take together (default: an eighth of the machine's memory)",
    )
    network.add_argument(
        "--exit-timeout-secs",
        type=_seconds,
        default=30.0,
        metavar="SECONDS",
        help="longest time to finish requests at the end",
    )


def _add_device(parser: argparse.ArgumentParser) -> None:
    device = parser.add_argument_group("device and process")
    device.add_argument(
        "--device",
        type=_device,
        default=DeviceSpec("cpu"),
        metavar="DEVICE",
        help="cpu, gpu[:INDEX], or simulated:MEMORY,pace=BASE+ITEM such as simulated:16Gi,pace=20ms+5ms",
    )
    device.add_argument("--device-memory", type=_size, default=0, metavar="SIZE", help="what models may take of it")
    device.add_argument(
        "--scratch", type=Path, metavar="DIR", help="keeps artifacts and what was ordered; without it a restart is empty"
    )
    device.add_argument("--artifact-cache", type=_size, default=20 << 30, metavar="SIZE", help="default: 20Gi")
    device.add_argument(
        "--ready-file", type=Path, metavar="FILE", help="written once the server listens: its pid and ports as JSON"
    )
    device.add_argument("--log-level", choices=("debug", "info", "warning", "error"), default="info")


def _boolean(text: str) -> bool:
    match text.lower():
        case "true" | "1" | "on" | "yes":
            return True
        case "false" | "0" | "off" | "no":
            return False
        case _:
            raise argparse.ArgumentTypeError(f"'{text}' is neither true nor false")


def _port(text: str) -> int:
    if not text.isdecimal() or int(text) > 65535:  # noqa: PLR2004 - the largest port
        raise argparse.ArgumentTypeError(f"'{text}' is no port: expected 0 to 65535")
    return int(text)


def _seconds(text: str) -> float:
    seconds = _number(text)
    if not 0 <= seconds <= _MOST_SECONDS:
        raise argparse.ArgumentTypeError(f"'{text}' is no time: expected seconds, from 0 to {_MOST_SECONDS}")
    return seconds


def _time_limit(text: str) -> float:
    seconds = _number(text)
    if not 0 < seconds <= _MOST_SECONDS:
        raise argparse.ArgumentTypeError(
            f"'{text}' is no time limit: expected seconds, more than 0 and {_MOST_SECONDS} at most"
        )
    return seconds


def _number(text: str) -> float:
    """NaN, which is in no range, where it is none."""
    try:
        return float(text)
    except ValueError:
        return math.nan


def _device(text: str) -> DeviceSpec:
    try:
        return parse_device(text)
    except DeviceSpecError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def _size(text: str) -> int:
    try:
        return parse_size(text)
    except DeviceSpecError as error:
        raise argparse.ArgumentTypeError(str(error)) from None
