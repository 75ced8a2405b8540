"""Pools as Deployments: how many servers each should have, and which go first.

What is wanted is kept here and in an annotation of the Deployment, so that a scale by hand is told from one of ours. A
Deployment that was made by an older template keeps its servers until they are not needed: only new ones are made by the new.
"""

import itertools
from collections.abc import Callable, Iterable, Mapping, Sequence, Set
from dataclasses import dataclass, field, replace
from typing import Final

from forebay_operator.domain.actions import ResizePool
from forebay_operator.domain.snapshot import Pool, Server, ServerPhase
from forebay_operator.manifests import names
from forebay_operator.manifests.installation import Installation
from forebay_operator.manifests.kinds import DEPLOYMENTS, PODS, Json, Ref
from forebay_operator.manifests.owners import Owner, owned_by
from forebay_operator.manifests.pool import PoolTemplate, deployment, template
from forebay_operator.worlds.kubernetes import pods
from forebay_operator.worlds.kubernetes.claims import Claims
from forebay_operator.worlds.kubernetes.servers import is_server
from forebay_operator.worlds.kubernetes.store import Seen, Store
from forebay_operator.worlds.kubernetes.writer import Wanted, Writer, wanted

_MOST_SERVERS: Final = 10_000
"""Of one Deployment: what an edited annotation can ask for."""
_DIGITS: Final = 9
OwnersOf = Callable[[Pool], Sequence[Owner] | None]
"""The ModelDeployments that a pool goes with. Empty: they are not named; None: there is none left."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Site:
    """One Deployment of a pool: what is wanted of it, and what it was made by."""

    pool: Pool
    name: str
    servers: int
    victims: frozenset[str] = frozenset()
    """Names of pods that go first, as long as there are too many."""
    made: PoolTemplate | None = None
    """The template of now; None: it was made by an older one, and its template is left as it is."""

    @property
    def ref(self) -> Ref:
        return Ref(DEPLOYMENTS.name, self.pool.namespace, self.name)


@dataclass(slots=True)
class _Fleet:
    """The pods of one Deployment."""

    live: list[Seen] = field(default_factory=list[Seen])
    """Those that are not about to go."""


class Pools:
    """Has every pool have as many servers as were ordered."""

    def __init__(
        self,
        store: Store,
        writer: Writer,
        installation: Installation,
        owners_of: OwnersOf,
        now: Callable[[], float],
        *,
        claims: Claims,
    ) -> None:
        self._store = store
        self._writer = writer
        self._installation = installation
        self._claims = claims
        self._owners_of = owners_of
        self._now = now
        self._sites: dict[Ref, Site] = {}
        self._templates: dict[Pool, PoolTemplate] = {}
        self._unmade_since: dict[str, float] = {}
        self._manifests: dict[Ref, tuple[object, Wanted]] = {}

    def namespaces(self) -> set[str]:
        """Where there are servers, or should be."""
        return {site.pool.namespace for site in self._sites.values()}

    def pools(self) -> set[Pool]:
        """Those that have servers, or should have."""
        return {site.pool for site in self._sites.values()}

    def adopt(self) -> None:
        """Take over the Deployments that are there: of an operator before, or of an earlier life of this one."""
        for live in self._store.all(DEPLOYMENTS):
            ref = Ref(DEPLOYMENTS.name, live.namespace, live.name)
            if ref in self._sites or live.is_going:
                continue
            pool = self._claims.pool_of_deployment(live)
            if pool is not None:
                self._sites[ref] = self._site(pool, live.name, _servers_of(live))

    def resize(self, action: ResizePool, lost: int) -> None:
        """Have this many servers, not counting those that are lost. Done twice, it changes nothing."""
        self.adopt()
        sites = [site for site in self._sites.values() if site.pool == action.pool]
        surplus = sum(site.servers for site in sites) - lost - action.servers
        if surplus > 0:
            self._shrink(sites, surplus, action.victims)
        else:
            self._grow(action.pool, -surplus)

    def keep(self) -> None:
        """Put right what differs from what was ordered, and take away what is of no use any more."""
        self.adopt()
        fleets = self._fleets()
        for ref, site in list(self._sites.items()):
            live = self._store.find(DEPLOYMENTS, ref.namespace, ref.name)
            fleet = fleets.get(site.ref, _Fleet())
            owners = self._owners_of(site.pool)
            if owners is None:
                self._abandon(ref, live)
            elif site.servers == 0 and not fleet.live:
                self._retire(site, live, owners)
            elif site.made is None and live is None:
                del self._sites[ref]
            else:
                self._keep(site, live, fleet, owners)

    def unmade(self) -> list[Server]:
        """Servers that were ordered and have no pod yet, with what is known of why."""
        fleets = self._fleets()
        found: list[Server] = []
        for site in self._sites.values():
            missing = site.servers - len(fleets.get(site.ref, _Fleet()).live)
            message = self._trouble(site) if missing > 0 else ""
            for name in self._free_names(site, missing, {each.name for each in found}):
                since = self._unmade_since.setdefault(name, self._now())
                server = Server(name=name, pool=site.pool, phase=ServerPhase.STARTING, started_at=since, message=message)
                found.append(server if site.made is not None else replace(server, outdated=True))
        names_now = {server.name for server in found}
        self._unmade_since = {name: since for name, since in self._unmade_since.items() if name in names_now}
        return found

    def _free_names(self, site: Site, count: int, taken: Set[str]) -> list[str]:
        """For servers without pods: names that no pod of any namespace has, nor another such server."""
        if count <= 0:
            return []
        taken = taken | {pod.name for pod in self._store.all(PODS)}
        candidates = (f"{site.name}-{ordinal}" for ordinal in itertools.count())
        return list(itertools.islice((name for name in candidates if name not in taken), count))

    def is_outdated(self, pool: Pool, pod: Seen) -> bool:
        """Whether a server's pod was made by another template than servers of its pool are made by now."""
        return pod.labels.get(names.TEMPLATE, "") != self._template(pool).digest

    def _template(self, pool: Pool) -> PoolTemplate:
        if pool not in self._templates:
            self._templates[pool] = template(pool, self._installation)
        return self._templates[pool]

    def _site(self, pool: Pool, name: str, servers: int) -> Site:
        made = self._template(pool)
        return Site(pool=pool, name=name, servers=servers, made=made if made.deployment == name else None)

    def _grow(self, pool: Pool, more: int) -> None:
        made = self._template(pool)
        ref = Ref(DEPLOYMENTS.name, pool.namespace, made.deployment)
        site = self._sites.get(ref) or self._site(pool, made.deployment, 0)
        if more:
            self._sites[ref] = replace(site, servers=site.servers + more)

    def _shrink(self, sites: list[Site], surplus: int, victims: Iterable[str]) -> None:
        """Take the named servers away, each from its Deployment; a server without a pod is one of the number only."""
        for victim in victims:
            site = next((each for each in sites if each.servers > 0 and victim.startswith(f"{each.name}-")), None)
            if site is None or surplus == 0 or victim in site.victims:
                continue
            smaller = replace(site, servers=site.servers - 1, victims=site.victims | {victim})
            self._sites[site.ref] = smaller
            sites[sites.index(site)] = smaller
            surplus -= 1

    def _keep(self, site: Site, live: Seen | None, fleet: _Fleet, owners: Sequence[Owner]) -> None:
        spec_replicas = int(live.object["spec"].get("replicas", 1)) if live is not None else 0
        marked = self._mark_victims(site, fleet, spec_replicas - site.servers)
        if not marked:
            # The cost must be on the victims before there are too many.
            return
        if site.made is not None:
            self._writer.keep(self._manifest(site, site.made, owners))
        elif live is not None and (site.servers != spec_replicas or _owners_in(live) != {owner.uid for owner in owners}):
            self._writer.keep(self._resized(site, live, owners))
        if len(fleet.live) <= site.servers and site.victims:
            self._sites[site.ref] = replace(site, victims=frozenset())

    def _mark_victims(self, site: Site, fleet: _Fleet, surplus: int) -> bool:
        """Whether those that are to go first can be told from the others. Others lose a mark that they may have."""
        chosen = _chosen(site, fleet, surplus) if surplus > 0 else set[str]()
        pending = False
        for pod in fleet.live:
            cost = pod.annotations.get(names.DELETION_COST)
            if pod.name in chosen and cost != names.VICTIM_COST:
                pending = True
                self._writer.annotate(PODS, pod, {names.DELETION_COST: names.VICTIM_COST})
            elif cost == names.VICTIM_COST and pod.name not in chosen and pod.name not in site.victims:
                self._writer.annotate(PODS, pod, {})
        return not pending

    def _manifest(self, site: Site, made: PoolTemplate, owners: Sequence[Owner]) -> Wanted:
        asked = (site.servers, owners)
        known = self._manifests.get(site.ref)
        if known is None or known[0] != asked:
            known = (asked, wanted(DEPLOYMENTS, deployment(made, site.servers, owners)))
            self._manifests[site.ref] = known
        return known[1]

    def _resized(self, site: Site, live: Seen, owners: Sequence[Owner]) -> Wanted:
        """An older Deployment as it is, but for the number of its servers and whose it is: what is left out of an apply would
        be given up."""
        asked = (site.servers, owners, live.version)
        known = self._manifests.get(site.ref)
        if known is None or known[0] != asked:
            known = (asked, wanted(DEPLOYMENTS, _as_it_is(live, site.servers, owners)))
            self._manifests[site.ref] = known
        return known[1]

    def _abandon(self, ref: Ref, live: Seen | None) -> None:
        """A pool goes with the last ModelDeployment that it was for, as it does where no operator runs."""
        if live is None:
            self._drop_unless_busy(ref)
        elif not live.is_going:
            self._writer.delete(DEPLOYMENTS, live)

    def _retire(self, site: Site, live: Seen | None, owners: Sequence[Owner]) -> None:
        if live is None:
            self._drop_unless_busy(site.ref)
        elif int((live.object.get("status") or {}).get("replicas", 0)) == 0 and live.object["spec"].get("replicas") == 0:
            self._writer.delete(DEPLOYMENTS, live, unchanged=True)
        else:
            self._keep(site, live, _Fleet(), owners)

    def _drop_unless_busy(self, ref: Ref) -> None:
        if not self._writer.is_busy(ref):
            self._drop(ref)

    def _drop(self, ref: Ref) -> None:
        self._sites.pop(ref, None)
        self._manifests.pop(ref, None)
        self._writer.forget(ref)

    def _fleets(self) -> Mapping[Ref, _Fleet]:
        fleets: dict[Ref, _Fleet] = {}
        by_labels = {
            (site.pool.namespace, names.pool_digest(site.pool), _template_of(self._store, site)): site.ref
            for site in self._sites.values()
        }
        for pod in self._store.all(PODS):
            if not is_server(pod) or pod.is_going or pods.has_ended(pod):
                continue
            ref = by_labels.get((pod.namespace, pod.labels[names.POOL], pod.labels.get(names.TEMPLATE, "")))
            if ref is not None and self._claims.pool_of_server(pod) is not None:
                fleets.setdefault(ref, _Fleet()).live.append(pod)
        return fleets

    def _trouble(self, site: Site) -> str:
        refused = self._writer.refusals.get((site.ref, ""))
        if refused is not None:
            return refused.sentence
        live = self._store.find(DEPLOYMENTS, site.pool.namespace, site.name)
        failure = pods.condition((live.object.get("status") or {}) if live else {}, "ReplicaFailure")
        if failure.get("status") != "True":
            return ""
        return pods.refused_pod(str(failure.get("message", "")))


def _servers_of(live: Seen) -> int:
    """What was last ordered: the annotation says it, also when somebody has scaled the Deployment since."""
    said = live.annotations.get(names.SERVERS, "")
    is_number = said.isdecimal() and len(said) <= _DIGITS
    return min(int(said) if is_number else int(live.object["spec"].get("replicas", 1)), _MOST_SERVERS)


def _template_of(store: Store, site: Site) -> str:
    if site.made is not None:
        return site.made.digest
    live = store.find(DEPLOYMENTS, site.pool.namespace, site.name)
    return live.labels.get(names.TEMPLATE, "") if live is not None else ""


def _chosen(site: Site, fleet: _Fleet, surplus: int) -> set[str]:
    """Those that go first: the ones that were named, then those that are not ready, then the youngest."""
    named = [pod.name for pod in fleet.live if pod.name in site.victims]
    others = [pod for pod in fleet.live if pod.name not in site.victims]
    others.sort(key=lambda pod: (pods.is_ready(pod), -pods.created_at(pod), pod.name))
    return set([*named, *(pod.name for pod in others)][:surplus])


def _owners_in(live: Seen) -> set[str]:
    """The uids of an object's owners."""
    return {str(each.get("uid", "")) for each in live.metadata.get("ownerReferences") or ()}


def _as_it_is(live: Seen, servers: int, owners: Sequence[Owner]) -> Json:
    metadata = live.metadata
    kept = {key: value for key, value in (metadata.get("annotations") or {}).items() if key.startswith("forebay.dev/")}
    kept.pop(names.APPLIED, None)
    return {
        "apiVersion": DEPLOYMENTS.api_version,
        "kind": DEPLOYMENTS.name,
        "metadata": {
            "name": live.name,
            "namespace": live.namespace,
            "labels": metadata.get("labels") or {},
            "annotations": {**kept, names.SERVERS: str(servers)},
            **owned_by(owners),
        },
        "spec": {**live.object["spec"], "replicas": servers},
    }
