"""Fuzzing in the small: seeds are changed at random, and what reaches new lines of ours becomes a seed."""

import json
import random
import sys
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType
from typing import Any

from fuzz_targets import Target

CORPUS = Path(__file__).parents[1] / "fuzz" / "corpus.json"
LONGEST = 4096
_WORDS = (
    *(b"\x00", b"\xff\xff\xff\xff", b"\r\n", b"\r\n\r\n", b":", b",", b"{", b"}", b"[", b"]", b'"', b"null", b"-1", b"1e999"),
    *(b"9" * 25, b"9" * 400, b"9" * 5000, b"\xc2\xb2", b"\xed\xa0\x80", b"..", b"/", b"%00", b"[" * 2000, b'{"a":' * 1500),
    *(b"true", b"NaN", b"Infinity", b"\x80" * 10, b"0x", b"+", b" ", b"\t", b"&a *a", b"!!python/object:os.system", b"<<: "),
)


@dataclass(frozen=True)
class Fault:
    """An input that the parser neither understood nor refused."""

    target: str
    data: bytes
    error: str


@dataclass
class Fuzzer:
    """Rounds over one target; `lines` are what its inputs have reached so far."""

    target: Target
    seeds: list[bytes]
    chance: random.Random
    lines: set[tuple[str, int]] = field(default_factory=set[tuple[str, int]])
    runs: int = 0
    slowest_s: float = 0.0
    found: list[bytes] = field(default_factory=list[bytes])

    def round(self) -> Fault | None:
        """One changed seed."""
        data = changed(self.chance.choice(self.seeds), self.chance.choice(self.seeds), self.chance)
        before = len(self.lines)
        fault = self.try_out(data)
        if fault is None and len(self.lines) > before:
            self.seeds.append(data)
            self.found.append(data)
        return fault

    def try_out(self, data: bytes) -> Fault | None:
        began = time.thread_time()
        sys.settrace(self._trace)
        try:
            self.target.parse(data)
        except self.target.refusals:
            pass
        except Exception as error:
            return Fault(self.target.name, data, repr(error)[:200])
        finally:
            sys.settrace(None)
            self.runs += 1
            self.slowest_s = max(self.slowest_s, time.thread_time() - began)
        return None

    def _trace(self, frame: FrameType, event: str, _argument: object) -> Any:
        if "/forebay_" not in frame.f_code.co_filename:
            return None
        if event == "line":
            self.lines.add((frame.f_code.co_filename, frame.f_lineno))
        return self._trace


def changed(data: bytes, other: bytes, chance: random.Random) -> bytes:
    """The data after one to four random changes."""
    result = bytearray(data)
    for _ in range(chance.randint(1, 4)):
        at, to = sorted(chance.randint(0, len(result)) for _ in range(2))
        match chance.randrange(6):
            case 0 if result:
                result[min(at, len(result) - 1)] = chance.randrange(256)
            case 1:
                result[at:at] = chance.choice(_WORDS)
            case 2:
                result[at:to] = chance.choice(_WORDS)
            case 3:
                del result[at:to]
            case 4:
                result[at:at] = result[at:to] * chance.choice((1, 1, 2, 50))
            case _:
                result[at:] = other[chance.randint(0, len(other)) :]
    return bytes(result[: max(LONGEST, 2 * len(data))])


def fuzzers(targets: Iterable[Target], seed: int) -> list[Fuzzer]:
    """One for each target, that has seen its seeds and the kept corpus."""
    kept = read_corpus()
    return [
        Fuzzer(target, [*target.seeds, *kept.get(target.name, [])], random.Random(f"{seed} {target.name}"))
        for target in targets
    ]


def read_state(made: Sequence[Fuzzer], state: Path | None) -> None:
    """Go on from what an earlier run has written; there need be none."""
    if state is None or not state.exists():
        return
    content = json.loads(state.read_text(encoding="utf-8"))
    for fuzzer in made:
        earlier = content.get(fuzzer.target.name, {"runs": 0, "found": []})
        fuzzer.runs += earlier["runs"]
        fuzzer.found += [text.encode("latin-1") for text in earlier["found"]]
        fuzzer.seeds += fuzzer.found


def write_state(made: Sequence[Fuzzer], state: Path | None) -> None:
    """Write what was found; what an earlier run found of other parsers stays."""
    if state is None:
        return
    content = json.loads(state.read_text(encoding="utf-8")) if state.exists() else {}
    for fuzzer in made:
        content[fuzzer.target.name] = {"runs": fuzzer.runs, "found": [data.decode("latin-1") for data in fuzzer.found]}
    part = state.with_name(f".{state.name}.part")
    part.write_text(json.dumps(content), encoding="utf-8")
    part.replace(state)


def read_corpus() -> dict[str, list[bytes]]:
    if not CORPUS.exists():
        return {}
    return {name: [text.encode("latin-1") for text in texts] for name, texts in json.loads(CORPUS.read_text()).items()}


def write_corpus(corpus: dict[str, Sequence[bytes]]) -> None:
    content = {name: sorted({data.decode("latin-1") for data in inputs}) for name, inputs in sorted(corpus.items())}
    CORPUS.write_text(json.dumps(content, indent=0) + "\n")
