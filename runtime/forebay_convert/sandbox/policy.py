"""What a sealed child may use, as its parent tells it on its command line."""

import json
from dataclasses import asdict, dataclass
from typing import Any, Self


@dataclass(frozen=True, slots=True)
class ProcessLimits:
    """Limits that the kernel keeps for the child itself; the parent's watchdog keeps the rest."""

    data_bytes: int
    cpu_seconds: int
    file_bytes: int
    open_files: int = 512


@dataclass(frozen=True, slots=True)
class SealPolicy:
    """`level` is `full`, `no-filesystem` or `none`: what the parent found that this machine can do."""

    parent: int
    read: tuple[str, ...]
    write: tuple[str, ...]
    limits: ProcessLimits
    level: str = "full"

    def to_json(self) -> str:
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, text: str) -> Self:
        content: dict[str, Any] = json.loads(text)
        limits = ProcessLimits(**content.pop("limits"))
        return cls(read=tuple(content.pop("read")), write=tuple(content.pop("write")), limits=limits, **content)
