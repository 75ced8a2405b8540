"""Small changes to a drawn story, each drawn from a seed of its own: the steps of a search for worse worlds."""

import random
from collections.abc import Callable
from dataclasses import dataclass, replace

from forebay_operator.worlds.simulated.drawing import draw_arrivals, draw_fault, draw_story
from forebay_operator.worlds.simulated.gateway import GatewaySettings
from forebay_operator.worlds.simulated.story import Story


@dataclass(frozen=True, slots=True)
class Lineage:
    """A story by how it came about: drawn from a seed, then changed by others in turn."""

    seed: int
    changes: tuple[int, ...] = ()

    def story(self) -> Story:
        """The same for ever, as long as this module and `drawing` stay as they are."""
        story = draw_story(self.seed)
        for change in self.changes:
            story = changed(story, random.Random(change))
        return story

    def child(self, change: int) -> "Lineage":
        return Lineage(self.seed, (*self.changes, change))


def changed(story: Story, chance: random.Random) -> Story:
    """The story with one thing different, within what may be drawn."""
    kinds: tuple[Callable[[Story, random.Random], Story], ...] = (
        _with_another_fault,
        _with_a_fault_moved,
        _without_a_fault,
        _with_another_load,
        _with_an_edit_moved,
        _with_a_slower_model,
        _with_slower_servers,
        _with_another_hold,
    )
    return chance.choice(kinds)(story, chance)


def _with_another_fault(story: Story, chance: random.Random) -> Story:
    return replace(story, faults=(*story.faults, draw_fault(chance, chance.uniform(0.0, 0.95 * story.busy_s))))


def _with_a_fault_moved(story: Story, chance: random.Random) -> Story:
    if not story.faults:
        return story
    place = chance.randrange(len(story.faults))
    at = min(max(0.0, story.faults[place].at + chance.gauss(0.0, 10.0)), 0.95 * story.busy_s)
    moved = replace(story.faults[place], at=at)
    return replace(story, faults=(*story.faults[:place], moved, *story.faults[place + 1 :]))


def _without_a_fault(story: Story, chance: random.Random) -> Story:
    if not story.faults:
        return story
    place = chance.randrange(len(story.faults))
    return replace(story, faults=(*story.faults[:place], *story.faults[place + 1 :]))


def _with_another_load(story: Story, chance: random.Random) -> Story:
    """Another shape of load while the world is busy, from another time on."""
    busy = [number for number, load in enumerate(story.loads) if load.at < story.busy_s]
    place = chance.choice(busy)
    load = replace(story.loads[place], at=chance.uniform(0.0, 0.5 * story.busy_s), arrivals=draw_arrivals(chance))
    return replace(story, loads=(*story.loads[:place], load, *story.loads[place + 1 :]))


def _with_an_edit_moved(story: Story, chance: random.Random) -> Story:
    """An edit at another time, but between its neighbours: in another order it could delete what is not there yet."""
    place = chance.randrange(len(story.edits))
    edit = story.edits[place]
    others = [each.at for each in story.edits if each.address == edit.address and each is not edit]
    earliest = max((at for at in others if at <= edit.at), default=0.0)
    latest = min((at for at in others if at > edit.at), default=story.busy_s)
    moved = replace(edit, at=chance.uniform(earliest, latest))
    return replace(story, edits=(*story.edits[:place], moved, *story.edits[place + 1 :]))


def _with_a_slower_model(story: Story, chance: random.Random) -> Story:
    uri = chance.choice(sorted(story.sources))
    slower = replace(
        story.sources[uri],
        convert_s=chance.uniform(1.0, 10.0),
        load_s=chance.choice((0.5, 2.0, 6.0)),
        base_s=chance.uniform(0.01, 0.1),
        per_item_s=chance.uniform(0.002, 0.05),
    )
    return replace(story, sources={**story.sources, uri: slower})


def _with_slower_servers(story: Story, chance: random.Random) -> Story:
    return replace(story, fleet=replace(story.fleet, start_s=chance.uniform(0.5, 6.0), gone_after_s=chance.uniform(0.0, 3.0)))


def _with_another_hold(story: Story, chance: random.Random) -> Story:
    return replace(
        story, gateway=GatewaySettings(hold_s=chance.choice((15.0, 45.0)), hold_requests=chance.choice((50, 10_000)))
    )
