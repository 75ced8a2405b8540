"""Searches for the world in which a request waits longest: hill climbing from the worst of some random ones."""

import random
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from forebay_operator.worlds.simulated.changing import Lineage
from forebay_operator.worlds.simulated.simulation import Course, simulate

_RANDOM_SHARE: Final = 0.25
"""Of the worlds, for finding where to begin."""
_STUBBORN: Final = 60
"""Changes in a row that made nothing worse, after which the search begins anew."""


@dataclass(frozen=True, slots=True)
class Found:
    """A world that was looked at."""

    lineage: Lineage
    course: Course

    @property
    def longest_s(self) -> float:
        """The longest wait of an answered request."""
        return max(self.course.waited, default=0.0)


def search(worlds: int, first: int) -> Iterator[Found]:
    """Each world that is worse than all before it, or breaks an invariant. The same for the same numbers."""
    chance = random.Random(first)
    beginnings = max(1, int(worlds * _RANDOM_SHARE))
    ranked: list[Found] = []
    worst = 0.0
    for seed in range(first, first + beginnings):
        found = look(Lineage(seed))
        ranked.append(found)
        if found.longest_s > worst or found.course.violations:
            worst = max(worst, found.longest_s)
            yield found
    ranked.sort(key=lambda each: each.longest_s, reverse=True)
    left = worlds - beginnings
    while left > 0 and ranked:
        for found in _climb(ranked.pop(0), chance, left):
            left -= 1
            if found.longest_s > worst or found.course.violations:
                worst = max(worst, found.longest_s)
                yield found


def look(lineage: Lineage) -> Found:
    return Found(lineage, simulate(lineage.story()))


def _climb(start: Found, chance: random.Random, most: int) -> Iterator[Found]:
    """Every world that is looked at on the way: changes of the worst so far, until many in a row made nothing worse."""
    best, vain = start, 0
    for _ in range(most):
        found = look(best.lineage.child(chance.getrandbits(31)))
        yield found
        if found.longest_s > best.longest_s and not found.course.violations:
            best, vain = found, 0
        else:
            vain += 1
        if vain == _STUBBORN:
            return
