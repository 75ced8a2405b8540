"""The Service of each ModelDeployment: made, never taken over from somebody else."""

from forebay_operator.manifests.kinds import SERVICES, Ref
from forebay_operator.manifests.service import external_name
from forebay_operator.worlds.kubernetes.models import Model, Models
from forebay_operator.worlds.kubernetes.store import Key, Store
from forebay_operator.worlds.kubernetes.writer import Wanted, Writer, wanted


class Addresses:
    """Has every ModelDeployment have its name in DNS."""

    def __init__(self, store: Store, writer: Writer, models: Models, gateway_host: str) -> None:
        self._store = store
        self._writer = writer
        self._models = models
        self._gateway_host = gateway_host
        self._wanted: dict[Key, tuple[str, Wanted]] = {}

    def keep(self) -> None:
        present: set[Key] = set()
        for model in self._models.all():
            present.add(model.seen.key)
            if not model.seen.is_going:
                self._keep(model)
        for namespace, name in self._wanted.keys() - present:
            del self._wanted[namespace, name]
            self._writer.forget(Ref(SERVICES.name, namespace, name))

    def _keep(self, model: Model) -> None:
        live = self._store.find(SERVICES, *model.seen.key)
        wish = self._wish(model)
        if live is None:
            self._writer.create(wish)
        elif _belongs_to(live.metadata.get("ownerReferences") or (), model.seen.uid):
            self._writer.keep(wish)
        # Else it is of a namesake that is gone, and about to go as well.

    def _wish(self, model: Model) -> Wanted:
        known = self._wanted.get(model.seen.key)
        if known is None or known[0] != model.seen.uid:
            manifest = external_name(model.seen.namespace, model.owner, self._gateway_host)
            known = (model.seen.uid, wanted(SERVICES, manifest))
            self._wanted[model.seen.key] = known
        return known[1]


def _belongs_to(owners: object, uid: str) -> bool:
    return isinstance(owners, list) and any(owner.get("uid") == uid for owner in owners)
