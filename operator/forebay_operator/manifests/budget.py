"""The PodDisruptionBudget of a pool: who empties a node takes its servers one after the other, not all at once."""

from collections.abc import Iterable

from forebay_operator.domain.snapshot import Pool
from forebay_operator.manifests import names
from forebay_operator.manifests.kinds import BUDGETS, Json
from forebay_operator.manifests.owners import Owner, owned_by


def budget(pool: Pool, max_unavailable: int | str, owners: Iterable[Owner] = ()) -> Json:
    """Of all servers of the pool, by whatever template they were made. `owners`: the ModelDeployments that it goes with."""
    digest = names.pool_digest(pool)
    instance = names.slug(pool.exclusive or pool.device.name)
    model = {names.MODEL: pool.exclusive} if pool.exclusive else {}
    return {
        "apiVersion": BUDGETS.api_version,
        "kind": BUDGETS.name,
        "metadata": {
            "name": names.pool_budget(pool),
            "namespace": pool.namespace,
            "labels": names.labels(names.BUDGET, instance) | {names.POOL: digest} | model,
        }
        | owned_by(owners),
        "spec": {
            "maxUnavailable": max_unavailable,
            # One that does not serve anyway may go: it must not keep a node from being emptied.
            "unhealthyPodEvictionPolicy": "AlwaysAllow",
            "selector": {"matchLabels": {names.POOL: digest}},
        },
    }
