"""Builds the programs of a control plane from Go modules into the user's cache, once; see `cluster_programs`.

With everything in Go's own cache it takes a minute, without it 15 minutes on 2 cores: it runs at low priority, two packages at
a time, and says how far it is. What is there already is not built again.
"""

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Final

import cluster_programs

_HELM: Final = "helm.sh/helm/v4"
_JOBS: Final = 2
_REPORT_S: Final = 10.0


def main() -> int:
    """Build them, unless they are there. Where that cannot be, the tests are skipped and say what to do: with CI=true a build
    that fails is a failure, but not that there is no Go, since nobody who is at such a machine could do anything about it."""
    if cluster_programs.named_folder() or cluster_programs.is_built():
        return 0
    if shutil.which("go") is None:
        print(f"There is no Go: tests of the cluster will be skipped. To run them, {cluster_programs.REMEDY}")
        return 0
    if _build(cluster_programs.built_folder()):
        return 0
    print(f"The programs of a control plane could not be built (see above). Mend it, or {cluster_programs.REMEDY}")
    return 1 if os.environ.get("CI") == "true" else 0


def _build(target: Path) -> bool:
    started = time.monotonic()
    print(f"Building etcd, kube-apiserver, kubectl and helm into {target}: once, about 15 minutes when Go's cache is empty")
    target.mkdir(parents=True, exist_ok=True)
    made = target / f"programs.{os.getpid()}"
    try:
        if not _compile(made):
            return False
        # Whole or nothing, also beside another build of the same.
        made.replace(target / "programs")
    finally:
        made.unlink(missing_ok=True)
    for name in cluster_programs.PROGRAMS:
        _link(target / name)
    print(f"Built in {time.monotonic() - started:.0f} s", flush=True)
    return True


def _compile(made: Path) -> bool:
    environment = {**os.environ, "CGO_ENABLED": "0", "GOWORK": "off", "GOFLAGS": "-mod=readonly"}
    command = [
        "go",
        "build",
        "-v",
        f"-p={_JOBS}",
        "-trimpath",
        "-buildvcs=false",
        "-ldflags",
        _versions(),
        "-o",
        str(made),
        ".",
    ]
    compiler = subprocess.Popen(
        [*_nice(), *command], cwd=cluster_programs.SOURCES, env=environment, stderr=subprocess.PIPE, text=True
    )
    assert compiler.stderr is not None
    _show_progress(compiler.stderr)
    return compiler.wait() == 0


def _nice() -> list[str]:
    nice = shutil.which("nice")
    return [nice, "-n", "10"] if nice else []


def _show_progress(lines: Iterable[str]) -> None:
    """Count the packages, which `go build -v` names one by one; anything else it says is passed on."""
    compiled, shown = 0, time.monotonic()
    for line in lines:
        if " " in line.strip() or line.startswith("#"):
            print(line, end="", flush=True)
            continue
        compiled += 1
        if time.monotonic() - shown >= _REPORT_S:
            shown = time.monotonic()
            print(f"{compiled} packages compiled (about 1,800 when Go's cache is empty)", flush=True)


def _versions() -> str:
    """Linker flags: what the programs say that they are, without which clients and servers do not know what they may use."""
    kubernetes = cluster_programs.required_version("k8s.io/kubernetes")
    major, minor, _ = kubernetes.removeprefix("v").split(".")
    said = {"gitVersion": kubernetes, "gitMajor": major, "gitMinor": minor, "gitTreeState": "clean"}
    flags = [
        f"-X k8s.io/{package}/version.{key}={value}"
        for package in ("component-base", "client-go/pkg")
        for key, value in said.items()
    ]
    helm = f"-X {_HELM}/internal/version.version={cluster_programs.required_version(_HELM)}"
    return " ".join(["-s", "-w", *flags, helm])


def _link(name: Path) -> None:
    fresh = name.with_name(f"{name.name}.{os.getpid()}")
    fresh.symlink_to("programs")
    fresh.replace(name)


if __name__ == "__main__":
    sys.exit(main())
