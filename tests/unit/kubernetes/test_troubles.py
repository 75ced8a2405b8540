"""What is wrong with the surroundings of a ModelDeployment reaches the step."""

import asyncio
from collections.abc import Callable, Sequence
from typing import cast

from domain_builders import a_deployment, an_address
from forebay_operator.domain.deployment import Deployment
from forebay_operator.manifests.kinds import SECRETS, SERVICES, Json, Kind
from forebay_operator.manifests.secret import replacement, repository_token
from forebay_operator.worlds.kubernetes.api_server import ApiServer, RefusedError
from forebay_operator.worlds.kubernetes.store import Store
from forebay_operator.worlds.kubernetes.troubles import Troubles
from forebay_operator.worlds.kubernetes.writer import Writer, wanted

SECRET = repository_token("default", "secret", [])
DEPLOYMENTS = (a_deployment(an_address("digits")), a_deployment(an_address("other")))


class RefusingApi:
    """Refuses whatever is to be made. `is_foreign`: what there is is somebody else's."""

    def __init__(self, *, is_foreign: bool) -> None:
        self.is_foreign = is_foreign

    async def create(self, path: str, manifest: Json) -> Json:
        raise RefusedError(409, "AlreadyExists", f"{path} {manifest['metadata']['name']} already exists")

    async def patch(self, path: str, operations: Sequence[Json]) -> Json:
        if self.is_foreign:
            raise RefusedError(422, "Invalid", "the server rejected our request due to an error in our request")
        raise RefusedError(404, "NotFound", f"{path} is not there for {len(operations)} operations")

    async def apply(self, path: str, manifest: Json, *, force: bool) -> Json:
        raise RefusedError(403, "Forbidden", f"{path} {manifest['metadata']['name']}, force {force}: exceeded quota")


def _object(kind: Kind, name: str) -> Json:
    return {"apiVersion": kind.api_version, "kind": kind.name, "metadata": {"name": name, "namespace": "default"}}


def _told_after(
    write: Callable[[Writer], None], *, is_foreign: bool = False
) -> tuple[tuple[Deployment, ...], tuple[Deployment, ...]]:
    """What is told, twice in a row, after a write was refused."""

    async def run() -> tuple[tuple[Deployment, ...], tuple[Deployment, ...]]:
        refused = asyncio.Event()
        writer = Writer(
            cast("ApiServer", RefusingApi(is_foreign=is_foreign)), Store(lambda _: None), lambda *_: None, refused.set
        )
        troubles = Troubles(writer)
        assert troubles.told(DEPLOYMENTS) is DEPLOYMENTS
        write(writer)
        await refused.wait()
        return troubles.told(DEPLOYMENTS), troubles.told(DEPLOYMENTS)

    return asyncio.run(run())


def test_a_service_that_is_refused_is_the_trouble_of_its_model_alone() -> None:
    first, second = _told_after(lambda writer: writer.create(wanted(SERVICES, _object(SERVICES, "digits"))))
    assert "already exists; rename the ModelDeployment" in first[0].trouble
    assert first[1] is DEPLOYMENTS[1]
    assert first[0] is second[0], "the step would take the same for something new"


def test_a_secret_that_is_refused_is_the_trouble_of_all_models_there() -> None:
    first, _ = _told_after(lambda writer: writer.have(SECRETS, SECRET, replacement(SECRET)))
    assert ["raise the ResourceQuota" in each.trouble for each in first] == [True, True]


def test_a_secret_of_somebody_else_is_not_applied_and_all_models_there_are_told() -> None:
    first, _ = _told_after(lambda writer: writer.have(SECRETS, SECRET, replacement(SECRET)), is_foreign=True)
    assert ["already exists, and is not Forebay's; rename that one" in each.trouble for each in first] == [True, True]
