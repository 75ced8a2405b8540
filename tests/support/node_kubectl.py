"""kubectl and helm against any cluster, for the proof on a node."""

import json
import os
import subprocess
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from cluster_programs import REMEDY, find

Json = dict[str, Any]
T = TypeVar("T")


class CommandError(Exception):
    """A command failed; says which, and what it said."""


class NotYetError(Exception):
    """What was waited for has not come; says what, and what was there last."""


@dataclass(frozen=True, slots=True)
class Kubectl:
    """The cluster that a kubeconfig names."""

    kubeconfig: Path

    def run(self, *arguments: str, given: str = "", timeout_s: float = 120) -> str:
        return command([_program("kubectl"), f"--kubeconfig={self.kubeconfig}", *arguments], given=given, timeout_s=timeout_s)

    def helm(self, *arguments: str) -> str:
        environment = {**os.environ, "KUBECONFIG": str(self.kubeconfig)}
        return command([_program("helm"), *arguments], timeout_s=600, environment=environment)

    def start(self, *arguments: str) -> subprocess.Popen[str]:
        """A command that goes on; its output is a text."""
        line = [_program("kubectl"), f"--kubeconfig={self.kubeconfig}", *arguments]
        return subprocess.Popen(line, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)

    def find(self, kind: str, name: str, namespace: str) -> Json | None:
        text = self.run("get", kind, name, f"--namespace={namespace}", "--ignore-not-found", "--output=json")
        found: Json | None = json.loads(text) if text.strip() else None
        return found

    def get(self, kind: str, name: str, namespace: str) -> Json:
        found = self.find(kind, name, namespace)
        if found is None:
            raise NotYetError(f"there is no {kind} {name} in {namespace}")
        return found

    def items(self, kinds: str, namespace: str = "", selector: str = "") -> list[Json]:
        place = [f"--namespace={namespace}"] if namespace else ["--all-namespaces"]
        chosen = [f"--selector={selector}"] if selector else []
        found: list[Json] = json.loads(self.run("get", kinds, *place, *chosen, "--output=json"))["items"]
        return found

    def apply(self, *objects: Json) -> None:
        self.run("apply", "--filename=-", given="\n---\n".join(json.dumps(each) for each in objects))

    def patch(self, kind: str, name: str, namespace: str, change: Json) -> None:
        self.run("patch", kind, name, f"--namespace={namespace}", "--type=merge", f"--patch={json.dumps(change)}")

    def delete(self, kind: str, name: str, namespace: str, *flags: str) -> None:
        self.run("delete", kind, name, f"--namespace={namespace}", "--ignore-not-found", *flags)


def command(line: Sequence[str], *, given: str = "", timeout_s: float = 120, environment: dict[str, str] | None = None) -> str:
    """Run it to its end; what it wrote. Raises what it said when it fails."""
    try:
        made = subprocess.run(
            line, input=given, capture_output=True, text=True, timeout=timeout_s, check=False, env=environment
        )
    except subprocess.TimeoutExpired as error:
        raise CommandError(f"`{' '.join(line[:6])} …` has not ended after {timeout_s:.0f} s") from error
    if made.returncode:
        raise CommandError(f"`{' '.join(line[:6])} …` failed: {(made.stderr or made.stdout).strip()[-500:]}")
    return made.stdout


def wait(condition: Callable[[], T], what: str, timeout_s: float = 120) -> T:
    """Ask again until it is true; a command that fails (the API server may be away) counts as not yet."""
    deadline = time.monotonic() + timeout_s
    last: object = None
    while True:
        try:
            last = found = condition()
            if found:
                return found
        except (CommandError, NotYetError) as error:
            last = error
        if time.monotonic() > deadline:
            raise NotYetError(f"{what}: not after {timeout_s:.0f} s; the last thing seen: {last}")
        time.sleep(0.3)


def _program(name: str) -> str:
    found = find(name)
    if found is None:
        raise CommandError(f"there is no {name}: put it on the PATH, or {REMEDY}")
    return found
