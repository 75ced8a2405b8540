"""Owner references: what belongs to a ModelDeployment goes with it, also while no operator runs."""

from collections.abc import Iterable
from dataclasses import dataclass

from forebay_operator.manifests.kinds import MODEL_DEPLOYMENTS, Json


@dataclass(frozen=True, slots=True, order=True)
class Owner:
    """A ModelDeployment, as owners are named."""

    name: str
    uid: str


def reference(owner: Owner, *, controller: bool) -> Json:
    return {
        "apiVersion": MODEL_DEPLOYMENTS.api_version,
        "kind": MODEL_DEPLOYMENTS.name,
        "name": owner.name,
        "uid": owner.uid,
        "blockOwnerDeletion": False,
    } | ({"controller": True} if controller else {})


def owned_by(owners: Iterable[Owner]) -> Json:
    """A part of `metadata`: an object of several owners goes with the last of them. Only one of them may be its controller."""
    named = sorted(owners)
    if not named:
        return {}
    return {"ownerReferences": [reference(owner, controller=len(named) == 1) for owner in named]}
