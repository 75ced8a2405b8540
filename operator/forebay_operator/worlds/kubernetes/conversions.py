"""Conversions as Jobs: one for each attempt, its result in the termination messages of its pod."""

import dataclasses
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from forebay_operator.domain.actions import StartConversion
from forebay_operator.domain.snapshot import Conversion, ConversionFailure, ConversionId, ConversionPhase
from forebay_operator.domain.status import Artifact
from forebay_operator.manifests import names
from forebay_operator.manifests.conversion import job, limits_of, settings_digest
from forebay_operator.manifests.installation import Installation
from forebay_operator.manifests.kinds import JOB_EVENTS, JOBS, PODS
from forebay_operator.manifests.owners import Owner
from forebay_operator.worlds.conversion_documents import order_of
from forebay_operator.worlds.kubernetes import conversion_pods, pods
from forebay_operator.worlds.kubernetes.store import Seen, Store
from forebay_operator.worlds.kubernetes.writer import Wanted, Writer, wanted

_DIGITS: Final = 9


@dataclass(frozen=True, slots=True)
class _Asked:
    """A conversion that was ordered, whose Job may not be there yet."""

    attempt: int
    at: float
    job: Wanted


class Conversions:
    """Starts Jobs and reads what became of them."""

    def __init__(
        self,
        store: Store,
        writer: Writer,
        installation: Installation,
        owners_of: Callable[[StartConversion], Iterable[Owner]],
        now: Callable[[], float],
    ) -> None:
        """`owners_of`: the ModelDeployments that wait for a conversion."""
        self._store = store
        self._writer = writer
        self._installation = installation
        self._owners_of = owners_of
        self._now = now
        self._settings = settings_digest(installation)
        self._asked: dict[ConversionId, _Asked] = {}
        self._known: tuple[object, dict[ConversionId, Conversion]] = (None, {})

    def namespaces(self) -> set[str]:
        return {key.namespace for key in self._asked}

    def seen(self) -> tuple[Conversion, ...]:
        """Every conversion that was started and not forgotten."""
        known = self._conversions()
        for key, asked in self._asked.items():
            if key not in known or known[key].attempt < asked.attempt:
                known = {**known, key: self._ordered(key, asked)}
        return tuple(known[key] for key in sorted(known))

    def start(self, action: StartConversion) -> None:
        """Convert, unless this attempt was made already."""
        known = self._conversions().get(action.id)
        asked = self._asked.get(action.id)
        if (known and known.attempt >= action.attempt) or (asked and asked.attempt >= action.attempt):
            return
        settings = self._installation.conversions
        order = order_of(action, self._installation.store.uri, trust_source=settings.trust_source)
        order = order.model_copy(update={"limits": limits_of(settings)})
        manifest = job(action, order, self._owners_of(action), self._installation)
        self._asked[action.id] = _Asked(action.attempt, self._now(), wanted(JOBS, manifest))

    def forget(self, key: ConversionId) -> None:
        """End a conversion if it runs, and drop what is known of it."""
        if asked := self._asked.pop(key, None):
            self._writer.forget(asked.job.ref)
        for seen in self._jobs_of(key):
            self._writer.delete(JOBS, seen)

    def keep(self) -> None:
        """Make the Jobs that were ordered and are not there, and take away those of earlier attempts."""
        known = self._conversions()
        for key, asked in list(self._asked.items()):
            made = known.get(key)
            if made is not None and made.attempt >= asked.attempt:
                del self._asked[key]
                self._drop_earlier(key, made.attempt)
            elif (asked.job.ref, "") not in self._writer.refusals:
                self._writer.create(asked.job)

    def _drop_earlier(self, key: ConversionId, attempt: int) -> None:
        for seen in self._jobs_of(key):
            if _attempt_of(seen) < attempt:
                self._writer.delete(JOBS, seen)

    def _ordered(self, key: ConversionId, asked: _Asked) -> Conversion:
        refused = self._writer.refusals.get((asked.job.ref, ""))
        base = Conversion(id=key, phase=ConversionPhase.RUNNING, attempt=asked.attempt, started_at=asked.at)
        if refused is None:
            return dataclasses.replace(base, progress="its Job is being made")
        cause, _, remedy = refused.sentence.partition("; ")
        failure = ConversionFailure(stage="start", cause=cause, remedy=remedy, retryable=True)
        return dataclasses.replace(base, phase=ConversionPhase.FAILED, finished_at=asked.at, failure=failure)

    def _conversions(self) -> dict[ConversionId, Conversion]:
        """What the Jobs say; read again only when one of them, a pod or an Event has changed."""
        revision = tuple(self._store.revision(kind) for kind in (JOBS, PODS, JOB_EVENTS))
        if self._known[0] != revision:
            self._known = (revision, self._read())
        return self._known[1]

    def _read(self) -> dict[ConversionId, Conversion]:
        jobs = [seen for seen in self._store.all(JOBS) if names.CONVERSION_ID in seen.annotations and not seen.is_going]
        by_job = self._pods_by_job() if jobs else {}
        found: dict[ConversionId, Conversion] = {}
        for seen in jobs:
            conversion = self._conversion(seen, by_job.get((seen.namespace, seen.uid)))
            before = found.get(conversion.id)
            if before is None or before.attempt < conversion.attempt:
                found[conversion.id] = conversion
        return found

    def _pods_by_job(self) -> Mapping[tuple[str, str], Seen]:
        """The newest pod of each Job, by the Job's namespace and uid: a pod elsewhere may name any owner."""
        found: dict[tuple[str, str], Seen] = {}
        for pod in self._store.all(PODS):
            for owner in pod.metadata.get("ownerReferences") or ():
                if owner.get("kind") == JOBS.name:
                    key = (pod.namespace, owner["uid"])
                    known = found.get(key)
                    if known is None or pods.created_at(known) <= pods.created_at(pod):
                        found[key] = pod
        return found

    def _conversion(self, seen: Seen, pod: Seen | None) -> Conversion:
        key = ConversionId(seen.namespace, seen.annotations[names.CONVERSION_ID])
        base = Conversion(id=key, phase=ConversionPhase.RUNNING, attempt=_attempt_of(seen), started_at=pods.created_at(seen))
        status: Mapping[str, Any] = seen.object.get("status") or {}
        ended = next(
            (
                each
                for kind in ("Complete", "Failed")
                if (each := pods.condition(status, kind)) and each.get("status") == "True"
            ),
            None,
        )
        if ended is None:
            return dataclasses.replace(base, progress=self._progress(seen, pod))
        outcome = self._may_pass(_outcome(ended, pod), seen)
        return dataclasses.replace(
            base,
            phase=ConversionPhase.FAILED if isinstance(outcome, ConversionFailure) else ConversionPhase.SUCCEEDED,
            finished_at=pods.moment(str(ended["lastTransitionTime"])),
            artifact=outcome if isinstance(outcome, Artifact) else None,
            failure=outcome if isinstance(outcome, ConversionFailure) else None,
        )

    def _may_pass(self, outcome: Artifact | ConversionFailure | None, seen: Seen) -> Artifact | ConversionFailure | None:
        """What failed for good may succeed under other limits, or with another image, than it failed with."""
        known = seen.annotations.get(names.TEMPLATE, self._settings)
        if isinstance(outcome, ConversionFailure) and known != self._settings:
            return dataclasses.replace(outcome, retryable=True)
        return outcome

    def _progress(self, seen: Seen, pod: Seen | None) -> str:
        if pod is None:
            return self._refused_pods(seen) or "its pod is being made"
        return conversion_pods.progress_of(pod)

    def _refused_pods(self, seen: Seen) -> str:
        """Why the Job has no pod: of quotas, policies and webhooks nothing but Events tells."""
        said = [
            each.object
            for each in self._store.all(JOB_EVENTS)
            if each.namespace == seen.namespace
            and (each.object.get("involvedObject") or {}).get("uid") == seen.uid
            and each.object.get("reason") == "FailedCreate"
        ]
        if not said:
            return ""
        refused = pods.refused_pod(str(said[-1].get("message", "")))
        return f"its pod is refused: {refused[:1].lower()}{refused[1:]}"

    def _jobs_of(self, key: ConversionId) -> list[Seen]:
        return [
            seen
            for seen in self._store.all(JOBS)
            if seen.namespace == key.namespace and seen.annotations.get(names.CONVERSION_ID) == key.digest
        ]


def _attempt_of(seen: Seen) -> int:
    text = seen.annotations.get(names.ATTEMPT, "")
    return int(text) if text.isdecimal() and len(text) <= _DIGITS else 1


def _outcome(ended: Mapping[str, Any], pod: Seen | None) -> Artifact | ConversionFailure | None:
    """What its stages said; where they said nothing, how they ended. None: it succeeded, nobody knows with what."""
    said = conversion_pods.outcome_in(pod) if pod is not None else None
    if said is not None or ended.get("type") == "Complete":
        return said
    return conversion_pods.failure_of(pod) if pod is not None else conversion_pods.pod_is_gone()
