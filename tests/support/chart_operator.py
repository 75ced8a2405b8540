"""What the operator makes in the models' namespaces when it is told what the chart tells it."""

import json
from pathlib import Path
from tempfile import TemporaryDirectory

from chart_rendering import Json
from forebay_operator.domain.deployment import Source
from forebay_operator.domain.snapshot import Pool
from forebay_operator.manifests.budget import budget
from forebay_operator.manifests.conversion import job
from forebay_operator.manifests.installation import Installation
from forebay_operator.manifests.owners import Owner
from forebay_operator.manifests.pool import deployment, template
from forebay_operator.manifests.secret import repository_token, store_credentials
from forebay_operator.manifests.service import external_name
from forebay_operator.settings import OperatorSettings
from kubernetes_builders import CPU, GPU, SIMULATED, a_conversion_order, a_pool, a_start

MODEL = "m" * 50
"""The longest name that a ModelDeployment may have."""
_OWNER = Owner(MODEL, "00000000-0000-0000-0000-000000000000")
_ASKED = {"nodeSelector": {"zone": "a"}, "labels": {"team": "a"}, "env": [{"name": "COLOUR", "value": "blue"}]}


def installation_of(made: list[Json]) -> Installation:
    """As the operator reads it from the chart's ConfigMap."""
    (config,) = [each for each in made if each["kind"] == "ConfigMap" and "operator.json" in each["data"]]
    with TemporaryDirectory() as folder:
        path = Path(folder) / "operator.json"
        path.write_text(config["data"]["operator.json"])
        return OperatorSettings.read(path).installation()


def pools(namespace: str = "default") -> list[Pool]:
    """One on each kind of device, and one of one model with a pod template."""
    shared = [a_pool(device, namespace=namespace) for device in (GPU, CPU, SIMULATED)]
    return [*shared, a_pool(GPU, namespace=namespace, exclusive=MODEL, template=json.dumps(_ASKED))]


def operator_objects(installation: Installation, namespace: str = "default") -> list[Json]:
    """One of each kind, and the Deployment and the budget of each pool."""
    made: list[Json] = []
    for pool in pools(namespace):
        made.append(deployment(template(pool, installation), 1, [_OWNER]))
        made.append(budget(pool, installation.servers.max_unavailable or 1, [_OWNER]))
    start = a_start(source=Source(uri="s3://m/m.joblib", format="sklearn", secret="mine"))
    conversion = job(start, a_conversion_order(), [_OWNER], installation)
    conversion["metadata"]["namespace"] = namespace
    return [
        *made,
        conversion,
        external_name(namespace, _OWNER, installation.gateway_host),
        repository_token(namespace, "token", [_OWNER]),
        store_credentials(namespace, {"AWS_REGION": "eu-central-1"}, [_OWNER]),
    ]
