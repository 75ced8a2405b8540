"""The form of every process's log: a constant message and fields; readable lines on a terminal, JSON lines otherwise.

The one module here that is no pure data: it is shared by all processes, as `forebay logs` reads what they write.
"""

import json
import logging
import sys
from datetime import UTC, datetime
from typing import TextIO

_FIELDS = "forebay_fields"


class Logger:
    """Writes a constant message with fields: `log.info("model loaded", model="digits", seconds=1.2)`."""

    def __init__(self, name: str) -> None:
        self._logger = logging.getLogger(name)

    def debug(self, message: str, **fields: object) -> None:
        self._write(logging.DEBUG, message, fields)

    def info(self, message: str, **fields: object) -> None:
        self._write(logging.INFO, message, fields)

    def warning(self, message: str, **fields: object) -> None:
        self._write(logging.WARNING, message, fields)

    def error(self, message: str, **fields: object) -> None:
        self._write(logging.ERROR, message, fields)

    def exception(self, message: str, **fields: object) -> None:
        """Like `error`, with the traceback of the exception being handled."""
        self._logger.error(message, exc_info=True, extra={_FIELDS: fields})

    def _write(self, level: int, message: str, fields: dict[str, object]) -> None:
        self._logger.log(level, message, extra={_FIELDS: fields})


class JsonLines(logging.Formatter):
    """`{"time": …, "level": …, "logger": …, "message": …, <fields>}`, one line each."""

    def format(self, record: logging.LogRecord) -> str:
        line: dict[str, object] = {
            "time": _timestamp(record).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
            **_fields(record),
        }
        if record.exc_info:
            line["traceback"] = self.formatException(record.exc_info)
        return json.dumps(line, default=str, ensure_ascii=False)


class ReadableLines(logging.Formatter):
    """`12:00:01 info  model loaded  model=digits seconds=1.2`."""

    def format(self, record: logging.LogRecord) -> str:
        fields = " ".join(f"{key}={_plain(value)}" for key, value in _fields(record).items())
        time = _timestamp(record).astimezone().strftime("%H:%M:%S")
        text = f"{time} {record.levelname.lower():7} {record.getMessage()}  {fields}".rstrip()
        return f"{text}\n{self.formatException(record.exc_info)}" if record.exc_info else text


class _Stream(logging.StreamHandler[TextIO]):
    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802 - logging's name
        """A disk without room is no fault of the line: a traceback for each of them would fill the next disk."""
        if not isinstance(sys.exc_info()[1], OSError):
            super().handleError(record)


def configure(level: str = "info", stream: TextIO | None = None) -> None:
    """Send this process's log to `stream` (standard error by default). Called once, by a process's main."""
    target = stream or sys.stderr
    handler = _Stream(target)
    handler.setFormatter(ReadableLines() if target.isatty() else JsonLines())
    logging.basicConfig(level=level.upper(), handlers=[handler], force=True)


def _timestamp(record: logging.LogRecord) -> datetime:
    return datetime.fromtimestamp(record.created, UTC)


def _fields(record: logging.LogRecord) -> dict[str, object]:
    fields: dict[str, object] = getattr(record, _FIELDS, {})
    return fields


def _plain(value: object) -> str:
    text = str(value)
    return json.dumps(text, ensure_ascii=False) if " " in text or not text else text
