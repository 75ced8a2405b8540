"""The Secrets that pods need in their namespaces: written blindly, as the operator may not read Secrets, and never taken over.

They are owned by the namespace's ModelDeployments, so that they go with the last of them. Where it has very many, the oldest
own them: if all of these go at once, the Secrets may be gone for the moment that it takes to see it and make them anew.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence, Set
from dataclasses import dataclass, field
from typing import Final

from forebay_operator.manifests.kinds import SECRETS, Json, ref_of
from forebay_operator.manifests.owners import Owner
from forebay_operator.manifests.secret import replacement, repository_token, store_credentials, store_reading_credentials
from forebay_operator.worlds.kubernetes.servers import Tokens
from forebay_operator.worlds.kubernetes.writer import Writer

_DOUBT_S: Final = 60.0
"""How often they are applied again in a namespace where pods do not start."""


@dataclass(frozen=True, slots=True)
class _Needs:
    """What a namespace has that mounts Secrets."""

    servers: bool
    conversions: bool


@dataclass(frozen=True, slots=True)
class StoreKeys:
    """What opens the store, as variables of an environment."""

    writing: Mapping[str, str] = field(default_factory=dict[str, str])
    """Empty: none are needed."""
    reading: Mapping[str, str] = field(default_factory=dict[str, str])
    """For who only reads. Empty: they have those that write."""


class Secrets:
    """Has every namespace with pods and ModelDeployments have what the pods mount."""

    def __init__(
        self,
        writer: Writer,
        tokens: Tokens,
        store_keys: StoreKeys,
        owners_in: Callable[[str], Sequence[Owner]],
    ) -> None:
        """`owners_in`: the ModelDeployments of a namespace that own what all of them use."""
        self._writer = writer
        self._tokens = tokens
        self._store_keys = store_keys
        self._owners_in = owners_in
        self._doubted_at: dict[str, float] = {}

    def keep(self, with_servers: Set[str], with_conversions: Set[str], stuck: Set[str], now: float) -> None:
        """`stuck`: namespaces where pods do not start. Somebody may have deleted what they mount, nothing else shows it."""
        for namespace in sorted(with_servers | with_conversions):
            is_doubtful = namespace in stuck and now - self._doubted_at.get(namespace, 0.0) > _DOUBT_S
            if is_doubtful:
                self._doubted_at[namespace] = now
            owners = self._owners_in(namespace)
            needs = _Needs(servers=namespace in with_servers, conversions=namespace in with_conversions)
            for manifest in self._manifests(namespace, owners, needs) if owners else ():
                if is_doubtful:
                    self._writer.doubt(ref_of(SECRETS, manifest))
                self._writer.have(SECRETS, manifest, replacement(manifest))

    def _manifests(self, namespace: str, owners: Sequence[Owner], needs: _Needs) -> Iterator[Json]:
        keys = self._store_keys
        if needs.servers:
            yield repository_token(namespace, self._tokens.of(namespace), owners)
        if keys.reading:
            yield store_reading_credentials(namespace, keys.reading, owners)
        if keys.writing and (needs.conversions or not keys.reading):
            yield store_credentials(namespace, keys.writing, owners)
