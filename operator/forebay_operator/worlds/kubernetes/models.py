"""ModelDeployments as the step sees them: each read once for each version, and the statuses that this operator wrote."""

import asyncio
import heapq
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Final

from pydantic import ValidationError

from forebay_operator import translate
from forebay_operator.api import v1alpha1
from forebay_operator.api.refusals import refusals
from forebay_operator.api.status import ModelDeploymentStatus
from forebay_operator.api.v1alpha1 import ModelDeployment
from forebay_operator.domain.actions import StartConversion
from forebay_operator.domain.deployment import Deployment
from forebay_operator.domain.snapshot import Pool
from forebay_operator.domain.status import ConditionType, DeploymentStatus
from forebay_operator.manifests.kinds import MODEL_DEPLOYMENTS, Json
from forebay_operator.manifests.owners import Owner
from forebay_operator.worlds.kubernetes.store import Key, Seen, Store
from forebay_operator.worlds.kubernetes.troubles import Troubles
from forebay_schema.addresses import ModelAddress

_METADATA: Final = frozenset({"name", "namespace", "uid", "generation", "deletionTimestamp"})
_WISH: Final = ("uid", "generation", "deletionTimestamp")
"""What of the metadata changes whenever what was asked for does, beside the annotation that asks for a refresh."""
_MOST_OWNERS: Final = 100
"""How many ModelDeployments own what all of their namespace use: 20 KB of names."""
_OURS: Final = frozenset(kind.value for kind in ConditionType)


@dataclass(frozen=True, slots=True)
class Model:
    """A ModelDeployment that was read. `deployment` None: it breaks rules, `problem` says which."""

    seen: Seen
    deployment: Deployment | None
    problem: str = ""

    @property
    def address(self) -> ModelAddress:
        return ModelAddress(self.seen.namespace, self.seen.name)

    @property
    def owner(self) -> Owner:
        return Owner(self.seen.name, self.seen.uid)


@dataclass(frozen=True, slots=True)
class _Said:
    """A status of the step's, and the content that it became."""

    uid: str
    status: DeploymentStatus
    content: Json


class Models:
    """Reads what changed."""

    def __init__(self, store: Store, troubles: Troubles) -> None:
        self._store = store
        self._troubles = troubles
        self._models: dict[Key, Model] = {}
        self._revision = -1
        self._ahead: dict[Key, Model] = {}
        self._all: tuple[Model, ...] = ()
        self._staying: dict[str, list[Model]] | None = None
        self._said: dict[Key, _Said] = {}
        self._deployments: tuple[Deployment, ...] = ()
        self._troubled: tuple[object, tuple[Deployment, ...]] = (None, ())

    def deployments(self) -> tuple[Deployment, ...]:
        """Those that can be read, sorted by address: the same values as long as nothing changes."""
        self._follow()
        revision = (self._revision, self._troubles.revision)
        if self._troubled[0] != revision:
            self._troubled = (revision, self._troubles.told(self._deployments))
        return self._troubled[1]

    @property
    def revision(self) -> int:
        """A number that rises with each change of a ModelDeployment."""
        return self._store.revision(MODEL_DEPLOYMENTS)

    async def read_ahead(self, at_once: int) -> None:
        """Read what is there, so many at once before others get their turn: the first look need not read all of it."""
        present = list(self._store.all(MODEL_DEPLOYMENTS))
        for start in range(0, len(present), at_once):
            self._ahead.update((seen.key, self._read(seen, None)) for seen in present[start : start + at_once])
            await asyncio.sleep(0)

    def all(self) -> tuple[Model, ...]:
        """Every one, readable or not: the same value as long as nothing changes."""
        self._follow()
        return self._all

    def find(self, address: ModelAddress) -> Model | None:
        self._follow()
        return self._models.get((address.namespace, address.name))

    @property
    def count(self) -> int:
        self._follow()
        return len(self._models)

    def owners_in(self, namespace: str) -> list[Owner]:
        """The oldest ModelDeployments of a namespace, as many as an object of all of them names as its owners. For Secrets:
        credentials must not stay when their namespace has no models any more."""
        return [model.owner for model in heapq.nsmallest(_MOST_OWNERS, self._staying_in(namespace), key=_age)]

    def owners_of(self, pool: Pool) -> tuple[Owner, ...] | None:
        """The ModelDeployments that a pool is for: its own, or all of its namespace. None: there is none any more; empty:
        there are too many to be named. It must not go with some of its models while others are left and nobody makes it
        anew."""
        if pool.exclusive:
            model = self.find(ModelAddress(pool.namespace, pool.exclusive))
            return (model.owner,) if model else None
        staying = self._staying_in(pool.namespace)
        if not staying:
            return None
        return tuple(sorted(model.owner for model in staying)) if len(staying) <= _MOST_OWNERS else ()

    def _staying_in(self, namespace: str) -> list[Model]:
        """The ModelDeployments of a namespace that are not about to go."""
        self._follow()
        if self._staying is None:
            self._staying = {}
            for model in self._all:
                if not model.seen.is_going:
                    self._staying.setdefault(model.seen.namespace, []).append(model)
        return self._staying.get(namespace, [])

    def waiting_for(self, start: StartConversion) -> list[Owner]:
        """The ModelDeployments whose spec asks for a conversion."""
        return [model.owner for model in self.all() if model.deployment is not None and _asks_for(model.deployment, start)]

    def said(self, address: ModelAddress, uid: str, status: DeploymentStatus, content: Json) -> None:
        """A status is being written as this content: read back, it is this status and no other."""
        self._said[address.namespace, address.name] = _Said(uid, status, content)

    def _follow(self) -> None:
        revision = self._store.revision(MODEL_DEPLOYMENTS)
        if revision == self._revision:
            return
        self._revision = revision
        before, self._models = self._models or self._ahead, {}
        self._ahead = {}
        for seen in self._store.all(MODEL_DEPLOYMENTS):
            known = before.get(seen.key)
            self._models[seen.key] = known if known is not None and known.seen is seen else self._read(seen, known)
        self._all, self._staying = tuple(self._models.values()), None
        self._said = {key: said for key, said in self._said.items() if key in self._models}
        found = [self._models[key].deployment for key in sorted(self._models)]
        self._deployments = tuple(deployment for deployment in found if deployment is not None)

    def _read(self, seen: Seen, before: Model | None) -> Model:
        if before is not None and before.deployment is not None and _wish(before.seen) == _wish(seen):
            return Model(seen, replace(before.deployment, status=self._status(seen)))
        content = {key: value for key, value in seen.object.items() if key != "status"}
        content["metadata"] = {key: value for key, value in seen.metadata.items() if key in _METADATA}
        if v1alpha1.REFRESH in seen.annotations:
            content["metadata"]["annotations"] = {v1alpha1.REFRESH: seen.annotations[v1alpha1.REFRESH]}
        try:
            deployment = translate.deployment_of(ModelDeployment.from_object(content))
        except ValidationError as error:
            return Model(seen, None, _problem(error))
        if before is not None and before.deployment is not None and before.deployment.spec == deployment.spec:
            # The step takes digests once for each spec, which it knows by its identity.
            deployment = replace(deployment, spec=before.deployment.spec)
        return Model(seen, replace(deployment, status=self._status(seen)))

    def _status(self, seen: Seen) -> DeploymentStatus | None:
        content = own_status(seen)
        if not content:
            return None
        said = self._said.get(seen.key)
        if said is not None and said.uid == seen.uid and said.content == content:
            return said.status
        try:
            return translate.status_of(ModelDeploymentStatus.from_object(content))
        except (ValidationError, ValueError):
            # Somebody wrote into it by hand: as if it had never been written.
            return None


def _asks_for(deployment: Deployment, start: StartConversion) -> bool:
    """What a conversion's id is made of, compared without taking the digest of every spec."""
    spec = deployment.spec
    return (
        deployment.address.namespace == start.id.namespace
        and spec.source == start.source
        and spec.verification == start.verification
        and spec.serving.max_batch_size == start.max_batch_size
    )


def _age(model: Model) -> tuple[str, str]:
    return str(model.seen.metadata.get("creationTimestamp", "")), model.seen.name


def _wish(seen: Seen) -> tuple[object, ...]:
    """Equal for two versions of an object with the same spec. API servers raise the generation with each change of it."""
    return (*(seen.metadata.get(field) for field in _WISH), seen.annotations.get(v1alpha1.REFRESH))


def own_status(seen: Seen) -> Mapping[str, Any]:
    """The status of an object, without the conditions of others."""
    status: dict[str, Any] = dict(seen.object.get("status") or {})
    if "conditions" in status:
        ours = [each for each in status["conditions"] if each.get("type") in _OURS]
        status["conditions"] = ours
        if not ours:
            del status["conditions"]
    return status


def _problem(error: ValidationError) -> str:
    return "; ".join(f"{each.field}: {each.message}" if each.field else each.message for each in refusals(error))
