"""Where the step's snapshots come from and where its actions go.

A world observes all the time, by its own means, and acts on its own time: `observe` takes a frozen view without waiting, `act`
hands orders over and returns at once. What became of an action shows in later snapshots, nowhere else.
"""

from collections.abc import Sequence
from typing import Protocol

from forebay_operator.domain.actions import Action
from forebay_operator.domain.snapshot import Snapshot


class World(Protocol):
    def observe(self) -> Snapshot:
        """The world as it is known now. `now` never goes back from one call to the next."""
        ...

    def act(self, actions: Sequence[Action]) -> None:
        """Take orders. Each is tried once; one that fails is ordered again by a later step, as long as it is still wanted."""
        ...
