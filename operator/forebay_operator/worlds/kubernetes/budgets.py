"""A PodDisruptionBudget for each pool that has servers, as long as it has them."""

from collections.abc import Mapping, Sequence, Set

from forebay_operator.domain.snapshot import Pool
from forebay_operator.manifests import names
from forebay_operator.manifests.budget import budget
from forebay_operator.manifests.kinds import BUDGETS, Ref
from forebay_operator.manifests.owners import Owner
from forebay_operator.worlds.kubernetes.pools import OwnersOf
from forebay_operator.worlds.kubernetes.store import Key, Store
from forebay_operator.worlds.kubernetes.writer import Wanted, Writer, wanted


class Budgets:
    """Has every pool with servers have its budget, and no other."""

    def __init__(
        self,
        store: Store,
        writer: Writer,
        max_unavailable: int | str | None,
        owners_of: OwnersOf,
    ) -> None:
        """`max_unavailable`: None: there are to be no budgets."""
        self._store = store
        self._writer = writer
        self._max_unavailable = max_unavailable
        self._owners_of = owners_of
        self._wanted: dict[Pool, tuple[Sequence[Owner], Wanted]] = {}
        self._asked: dict[Key, Ref] = {}

    def keep(self, pools: Set[Pool]) -> None:
        """`pools`: those with servers."""
        limit = self._max_unavailable
        owned = [(pool, owners) for pool in pools if (owners := self._owners_of(pool)) is not None]
        wishes = [self._wish(pool, limit, owners) for pool, owners in owned] if limit is not None else []
        for wish in wishes:
            self._writer.keep(wish)
        asked = {(wish.ref.namespace, wish.ref.name): wish.ref for wish in wishes}
        self._take_away(asked)
        self._wanted = {pool: known for pool, known in self._wanted.items() if pool in pools}
        self._asked = asked

    def _take_away(self, asked: Mapping[Key, Ref]) -> None:
        for key in self._asked.keys() - asked.keys():
            self._writer.forget(self._asked[key])
        for live in self._store.all(BUDGETS):
            if live.key not in asked and names.POOL in live.labels and not live.is_going:
                self._writer.delete(BUDGETS, live)

    def _wish(self, pool: Pool, max_unavailable: int | str, owners: Sequence[Owner]) -> Wanted:
        known = self._wanted.get(pool)
        if known is None or known[0] != owners:
            known = (owners, wanted(BUDGETS, budget(pool, max_unavailable, owners)))
            self._wanted[pool] = known
        return known[1]
