"""The Service of each ModelDeployment: made, never taken over from somebody else."""

from forebay_operator.manifests.kinds import MODEL_DEPLOYMENTS, SERVICES, Ref
from forebay_operator.manifests.service import external_name
from forebay_operator.worlds.kubernetes.models import Model, Models
from forebay_operator.worlds.kubernetes.store import Key, Seen, Store
from forebay_operator.worlds.kubernetes.writer import Wanted, Writer, wanted


class Addresses:
    """Has every ModelDeployment have its name in DNS."""

    def __init__(self, store: Store, writer: Writer, models: Models, gateway_host: str) -> None:
        self._store = store
        self._writer = writer
        self._models = models
        self._gateway_host = gateway_host
        self._wanted: dict[Key, tuple[str, Wanted]] = {}
        self._fine: object = None
        """The revisions of what bears on Services when all of them were as wanted."""
        self._compared: dict[Key, tuple[Model, Seen]] = {}
        """Models and their Services that were compared, and that needed nothing."""

    def keep(self) -> None:
        revisions = (self._store.revision(MODEL_DEPLOYMENTS), self._store.revision(SERVICES))
        if revisions == self._fine:
            return
        present: set[Key] = set()
        is_fine = True
        for model in self._models.all():
            present.add(model.seen.key)
            if not model.seen.is_going and not self._writer.is_full:
                is_fine = self._keep(model) and is_fine
        for namespace, name in self._wanted.keys() - present:
            del self._wanted[namespace, name]
            self._writer.forget(Ref(SERVICES.name, namespace, name))
        for key in self._compared.keys() - present:
            del self._compared[key]
        self._fine = revisions if is_fine and not self._writer.is_full else None

    def _keep(self, model: Model) -> bool:
        """Whether there was nothing to do."""
        key = model.seen.key
        live, compared = self._store.find(SERVICES, *key), self._compared.get(key)
        if live is not None and compared is not None and compared[0] is model and compared[1] is live:
            return True
        is_fine = self._compare(model, live)
        if live is not None and is_fine:
            self._compared[key] = (model, live)
        return is_fine

    def _compare(self, model: Model, live: Seen | None) -> bool:
        if live is not None and not _belongs_to(live.metadata.get("ownerReferences") or (), model.seen.uid):
            # Of a namesake that is gone, and about to go as well.
            return True
        wish = self._wish(model)
        if live is not None:
            return self._writer.keep(wish)
        self._writer.create(wish)
        return False

    def _wish(self, model: Model) -> Wanted:
        known = self._wanted.get(model.seen.key)
        if known is None or known[0] != model.seen.uid:
            manifest = external_name(model.seen.namespace, model.owner, self._gateway_host)
            known = (model.seen.uid, wanted(SERVICES, manifest))
            self._wanted[model.seen.key] = known
        return known[1]


def _belongs_to(owners: object, uid: str) -> bool:
    return isinstance(owners, list) and any(owner.get("uid") == uid for owner in owners)
