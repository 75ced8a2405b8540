"""What happened, in lines for people."""

import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

_KEPT: Final = 1000


@dataclass(frozen=True, slots=True)
class Event:
    """One thing that happened."""

    time: float
    subject: str
    """Whom it is about: a model (`namespace/name`), a server, the gateway, a file."""
    text: str

    @property
    def clock(self) -> str:
        """When, by the clock of this place."""
        return time.strftime("%H:%M:%S", time.localtime(self.time))

    def __str__(self) -> str:
        return f"{self.clock}  {self.subject}: {self.text}"


class Events:
    """The last events, and who listens to new ones."""

    def __init__(self, now: Callable[[], float]) -> None:
        self._now = now
        self._events: deque[Event] = deque(maxlen=_KEPT)
        self._listeners: list[Callable[[Event], None]] = []

    def tell(self, subject: str, text: str) -> None:
        """Add an event, unless it says what the last one of its subject said."""
        if (last := next(iter(self.about(subject, 1)), None)) and last.text == text:
            return
        event = Event(self._now(), subject, text)
        self._events.append(event)
        for listener in self._listeners:
            listener(event)

    def listen(self, listener: Callable[[Event], None]) -> None:
        """Call with each new event."""
        self._listeners.append(listener)

    def recent(self) -> list[Event]:
        """All that are kept, oldest first."""
        return list(self._events)

    def about(self, subject: str, most: int) -> list[Event]:
        """The newest events of a subject, oldest first."""
        return [event for event in self._events if event.subject == subject][-most:]
