"""Where the programs of a control plane are: `KUBEBUILDER_ASSETS` names a folder (envtest's convention, with
kube-controller-manager beside the others), or they were built from Go modules into the user's cache.

`make cluster-assets` builds them. Tests never do: that takes minutes the first time.
"""

import hashlib
import os
import re
import shutil
from pathlib import Path
from typing import Final

SERVERS: Final = ("etcd", "kube-apiserver", "kube-controller-manager")
"""What a control plane consists of."""
PROGRAMS: Final = (*SERVERS, "kubectl", "helm")
"""What is built: the servers, and the clients that tests of the chart use."""
SOURCES: Final = Path(__file__).parents[1] / "cluster" / "programs"
"""The Go module."""
ABSENT: Final = "no programs of a control plane"
"""How the reason of each test begins that is skipped because of that."""
REMEDY: Final = (
    "install Go and run `make cluster-assets`, or set KUBEBUILDER_ASSETS to a folder with etcd, kube-apiserver, "
    "kube-controller-manager, kubectl and helm"
)


def named_folder() -> Path | None:
    """The folder that `KUBEBUILDER_ASSETS` names, if the servers are in it."""
    said = os.environ.get("KUBEBUILDER_ASSETS")
    return Path(said) if said and _has(Path(said), SERVERS) else None


def built_folder() -> Path:
    """The folder of what is built. Its name says from what: another version is another folder."""
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return cache / "forebay" / "cluster-programs" / f"{required_version('k8s.io/kubernetes')}-{_sources_digest()}"


def is_built() -> bool:
    return _has(built_folder(), PROGRAMS)


def folder() -> Path | None:
    """Where the servers are; None: nobody said, and they are not built."""
    return named_folder() or (built_folder() if is_built() else None)


def find(name: str) -> str | None:
    """The path of a program: where the servers are, else where they are built, else on the PATH."""
    folders = [os.environ.get("KUBEBUILDER_ASSETS", ""), str(built_folder()), os.environ.get("PATH", "")]
    return shutil.which(name, path=os.pathsep.join(part for part in folders if part))


def required_version(module: str) -> str:
    """The version of a Go module, as go.mod pins it: the last line that names it, since replacements come last."""
    pinned = re.findall(rf"\b{re.escape(module)} (v\S+)$", (SOURCES / "go.mod").read_text(encoding="utf-8"), re.MULTILINE)
    return str(pinned[-1])


def _has(where: Path, programs: tuple[str, ...]) -> bool:
    return all((where / program).exists() for program in programs)


def _sources_digest() -> str:
    contents = b"".join((SOURCES / name).read_bytes() for name in ("go.mod", "go.sum", "main.go"))
    return hashlib.sha256(contents).hexdigest()[:12]
