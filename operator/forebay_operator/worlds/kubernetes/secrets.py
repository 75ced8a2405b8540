"""The Secrets that pods need in their namespaces: applied blindly, as the operator may not read Secrets."""

from collections.abc import Mapping, Set

from forebay_operator.manifests.kinds import SECRETS
from forebay_operator.manifests.secret import repository_token, store_credentials
from forebay_operator.worlds.kubernetes.servers import Tokens
from forebay_operator.worlds.kubernetes.writer import Writer


class Secrets:
    """Has every namespace with pods have what they mount."""

    def __init__(self, writer: Writer, tokens: Tokens, store_environment: Mapping[str, str]) -> None:
        self._writer = writer
        self._tokens = tokens
        self._store_environment = store_environment

    def keep(self, with_servers: Set[str], with_conversions: Set[str]) -> None:
        for namespace in sorted(with_servers):
            self._writer.apply_once(SECRETS, repository_token(namespace, self._tokens.of(namespace)))
        if self._store_environment:
            for namespace in sorted(with_servers | with_conversions):
                self._writer.apply_once(SECRETS, store_credentials(namespace, self._store_environment))
