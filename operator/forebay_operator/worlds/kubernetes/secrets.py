"""The Secrets that pods need in their namespaces: applied blindly, as the operator may not read Secrets.

They are owned by the namespace's ModelDeployments, so that they go with the last of them. Where it has very many, the oldest
own them: if all of these go at once, the Secrets may be gone for the moment that it takes to see it and make them anew.
"""

from collections.abc import Callable, Mapping, Sequence, Set

from forebay_operator.manifests.kinds import SECRETS
from forebay_operator.manifests.owners import Owner
from forebay_operator.manifests.secret import repository_token, store_credentials
from forebay_operator.worlds.kubernetes.servers import Tokens
from forebay_operator.worlds.kubernetes.writer import Writer


class Secrets:
    """Has every namespace with pods and ModelDeployments have what the pods mount."""

    def __init__(
        self,
        writer: Writer,
        tokens: Tokens,
        store_environment: Mapping[str, str],
        owners_in: Callable[[str], Sequence[Owner]],
    ) -> None:
        """`owners_in`: the ModelDeployments of a namespace that own what all of them use."""
        self._writer = writer
        self._tokens = tokens
        self._store_environment = store_environment
        self._owners_in = owners_in

    def keep(self, with_servers: Set[str], with_conversions: Set[str]) -> None:
        for namespace in sorted(with_servers | with_conversions):
            if owners := self._owners_in(namespace):
                self._keep(namespace, owners, has_servers=namespace in with_servers)

    def _keep(self, namespace: str, owners: Sequence[Owner], *, has_servers: bool) -> None:
        if has_servers:
            self._writer.apply_once(SECRETS, repository_token(namespace, self._tokens.of(namespace), owners))
        if self._store_environment:
            self._writer.apply_once(SECRETS, store_credentials(namespace, self._store_environment, owners))
