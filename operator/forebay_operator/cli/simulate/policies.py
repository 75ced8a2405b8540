"""Who decides how many replicas there should be: the product's own policy, a fixed number, or another program."""

import contextlib
import json
import math
import shlex
import subprocess
from dataclasses import asdict, dataclass, field
from typing import Protocol

from forebay_operator.domain import scaling
from forebay_operator.domain.autoscaling import ScalingMemory
from forebay_operator.domain.deployment import DeploymentSpec
from forebay_operator.domain.observation import Observation
from forebay_operator.domain.ready_times import ReadyTimes
from forebay_operator.domain.scaling import Scaling

_LAST_WORDS_S = 5.0


class PolicyError(Exception):
    """A policy could not decide; the message says why."""


class Policy(Protocol):
    """Asked every second, and at once when a request comes to a model without a replica."""

    @property
    def name(self) -> str: ...

    def wanted(self, seen: Observation) -> int:
        """How many replicas there should be.

        Raises:
            PolicyError: it cannot say.
        """
        ...

    def close(self) -> None:
        """It is not asked any more."""
        ...


@dataclass(slots=True)
class ForebayPolicy:
    """What the control step would do: `domain.scaling`, with its memory from call to call."""

    spec: DeploymentSpec
    hold_seconds: float
    ready_s: float | None = None
    """How long replicas take, where some have started before: the control step saw them. None: it has yet to learn that."""
    name: str = "forebay"
    _before: Scaling | None = field(init=False, default=None)

    def __post_init__(self) -> None:
        if self.ready_s is not None and self.spec.autoscaling is not None:
            memory = ScalingMemory(ready_times=ReadyTimes(learned=self.ready_s))
            self._before = Scaling(at=-math.inf, wanted=self.spec.min_replicas, reason="", memory=memory)

    def wanted(self, seen: Observation) -> int:
        present = seen.replicas_ready + seen.replicas_starting
        self._before = scaling.scale(self.spec, self._before, seen, present=present, hold_seconds=self.hold_seconds)
        return self._before.wanted

    def close(self) -> None:
        """Nothing to end."""


@dataclass(slots=True)
class FixedPolicy:
    """As many replicas all the time."""

    replicas: int
    name: str = "static"

    def wanted(self, seen: Observation) -> int:  # noqa: ARG002 - the protocol's parameters
        return self.replicas

    def close(self) -> None:
        """Nothing to end."""


@dataclass(slots=True)
class CommandPolicy:
    """A program that answers observations as `forebay autoscaler --stdio` does: one JSON object a line, in and out."""

    command: str
    name: str = "command"
    _process: subprocess.Popen[str] = field(init=False)

    def __post_init__(self) -> None:
        words = shlex.split(self.command)
        if not words:
            raise PolicyError("the policy is no command: write `command:PROGRAM ARGUMENTS`")
        try:
            self._process = subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, encoding="utf-8")
        except OSError as error:
            raise PolicyError(f"the policy {words[0]!r} cannot be started ({error.strerror}): check its path") from None

    def wanted(self, seen: Observation) -> int:
        values = asdict(seen)
        values["t"] = values.pop("now")
        return self._replicas(self._answer(json.dumps(values)))

    def _answer(self, line: str) -> str:
        stdin, stdout = self._process.stdin, self._process.stdout
        assert stdin is not None
        assert stdout is not None
        try:
            stdin.write(f"{line}\n")
            stdin.flush()
        except BrokenPipeError:
            raise PolicyError(f"the policy `{self.command}` ended before the simulation did") from None
        try:
            answer = stdout.readline()
        except UnicodeDecodeError:
            raise PolicyError(f"the policy `{self.command}` answered with bytes that are no UTF-8") from None
        if not answer:
            raise PolicyError(f"the policy `{self.command}` ended, or closed its output, before the simulation did")
        return answer

    def _replicas(self, answer: str) -> int:
        try:
            replicas = json.loads(answer)["replicas"]
        except (ValueError, KeyError, TypeError, RecursionError):
            replicas = None
        if isinstance(replicas, bool) or not isinstance(replicas, int) or replicas < 0:
            shown = answer.strip()[:120]
            raise PolicyError(f'the policy `{self.command}` answered {shown!r}: a line like {{"replicas": 2}} was expected')
        return replicas

    def close(self) -> None:
        """End the program: by the end of its input, else by force."""
        for stream in (self._process.stdin, self._process.stdout):
            assert stream is not None
            # It may be gone already, with its last line unread.
            with contextlib.suppress(BrokenPipeError):
                stream.close()
        try:
            self._process.wait(_LAST_WORDS_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
