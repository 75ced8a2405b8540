"""What the API server refused of what a ModelDeployment needs, beside servers and conversions, which tell of themselves."""

from collections.abc import Iterable
from dataclasses import replace
from typing import Final

from forebay_operator.domain.deployment import Deployment
from forebay_operator.manifests import names
from forebay_operator.manifests.kinds import SECRETS, SERVICES, Ref
from forebay_operator.worlds.kubernetes.writer import Writer

_SECRETS: Final = (names.TOKEN_SECRET, names.STORE_SECRET, names.STORE_READING_SECRET)


class Troubles:
    """Tells ModelDeployments what is wrong with their surroundings."""

    def __init__(self, writer: Writer) -> None:
        self._writer = writer
        self._told: dict[str, tuple[Deployment, Deployment]] = {}
        """By uid: a ModelDeployment without its trouble, and with it."""

    @property
    def revision(self) -> int:
        """A number that rises whenever a trouble comes, changes or goes."""
        return self._writer.refusals_revision

    def told(self, deployments: tuple[Deployment, ...]) -> tuple[Deployment, ...]:
        """The same ModelDeployments, each with its trouble: the same values as long as nothing changes."""
        if not self._writer.refusals:
            self._told = {}
            return deployments
        before, self._told = self._told, {}
        return tuple(self._tell(each, before.get(each.uid)) for each in deployments)

    def _tell(self, deployment: Deployment, before: tuple[Deployment, Deployment] | None) -> Deployment:
        address = deployment.address
        trouble = self._of(
            [
                Ref(SERVICES.name, address.namespace, address.name),
                *(Ref(SECRETS.name, address.namespace, name) for name in _SECRETS),
            ]
        )
        if not trouble:
            return deployment
        if before is None or before[0] is not deployment or before[1].trouble != trouble:
            before = (deployment, replace(deployment, trouble=trouble))
        self._told[deployment.uid] = before
        return before[1]

    def _of(self, refs: Iterable[Ref]) -> str:
        refused = (self._writer.refusals.get((ref, "")) for ref in refs)
        return next((each.sentence for each in refused if each is not None), "")
