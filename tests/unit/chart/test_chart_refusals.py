"""Values that the chart refuses, each with a sentence. Skipped where there is no helm."""

import pytest

from chart_rendering import CHART, LOCAL, RELEASE, helm, refusal


@pytest.mark.parametrize(
    ("setting", "said"),
    [
        ("gateway.replica=3", "additional properties 'replica' not allowed"),
        ("gateway.replicas=0", "minimum"),
        ("servers.scratch=8GB", "does not match pattern"),
        ("store.uri=gs://bucket", "does not match pattern"),
        ("images.pullPolicy=Sometimes", "must be one of"),
        ("store.uri=file:///store", "set store.claim to the volume claim"),
        ("store.claim=models", "store.uri is no file:// URI"),
        ("gateway.service.httpNodePort=30800", "go with type NodePort or LoadBalancer"),
        ("gateway.service.loadBalancerClass=x/y", "go with type LoadBalancer"),
        ("gateway.holdSeconds=60", "gateway.drainSeconds (60) must be longer than gateway.holdSeconds (60)"),
        ("operator.leadership.deadlineSeconds=9", "two below durationSeconds (10)"),
        ("operator.leadership.retrySeconds=7", "retrySeconds (7) must be below deadlineSeconds (7)"),
        ("conversions.images.pickle=mine", "must be one of 'onnx', 'sklearn'"),
        ("servers.podDisruptionBudget.maxUnavailable=0", "minimum"),
        ("servers.podDisruptionBudget.maxUnavailable=half", "does not match pattern"),
        ("servers.extraEnv[0].name=A", "oneOf"),
        ("servers.extraEnv[0].valueFrom.fileKeyRef.x=y", "additional properties 'fileKeyRef' not allowed"),
        (
            "servers.extraVolumes[0].name=node,servers.extraVolumes[0].hostPath.path=/",
            "additional properties 'hostPath' not allowed",
        ),
        ("conversions.extraVolumes[0].name=fetched", "not"),
        ("operator.extraVolumes[0].name=keys", "not"),
        ("gateway.extraVolumeMounts[0].name=a", "mountPath"),
        ("ipFamilyPolicy=Both", "must be one of"),
        ("ipFamilies={IPv5}", "must be one of"),
        ("ipFamilyPolicy=SingleStack,ipFamilies={IPv4,IPv6}", "set one, or PreferDualStack"),
        ("securityContext.runAsUser=0", "minimum"),
        ("caBundle.configMap=a,caBundle.secret=b", "set one of them"),
        ("proxy.https=proxy.example.com:3128", "does not match pattern"),
        ("proxy.noProxy={a b}", "does not match pattern"),
        ("gateway.terminationGracePeriodSeconds=60", "shorter than preStopSeconds and drainSeconds together (70)"),
        ("gateway.strategy.maxSurge=0", "no gateway could ever be replaced"),
        ("gateway.strategy.maxSurge=0%", "no gateway could ever be replaced"),
        ("gateway.strategy.maxUnavailable=some", "does not match pattern"),
        ("priorityClasses.create=true,priorityClasses.conversions=10000", "must be above priorityClasses.conversions (10000)"),
        ("networkPolicy.modelNamespaces={team-c},namespaces={team-a,team-b}", "namespaces has only team-a, team-b"),
        ("store.readSecret=a", "store.readSecret is set and store.secret is not"),
        ("servers.tolerations[0].effects=NoSchedule", "additional properties 'effects' not allowed"),
        ("conversions.tolerations[0].effect=Never", "must be one of"),
        ("gateway.affinity.podAntiAfinity.x=y", "must be one of"),
        ("networkPolicy.clients[0].namespaceSelectors.x=y", "additional properties 'namespaceSelectors' not allowed"),
        ("operator.resources.limit.memory=1Gi", "must be one of"),
        ("devices.simulated.pace=fast", "does not match pattern"),
        ("namespaces={Team_A}", "does not match pattern"),
        ("store.secret=a/b", "does not match pattern"),
        ("images.operator=", "does not match pattern"),
        ("fullnameOverride=1st", "does not match pattern"),
        ("servers.podLabels.forebay\\.dev/pool=x", "not"),
        ("gateway.podLabels.app\\.kubernetes\\.io/component=x", "not"),
        ("conversions.podLabels.app\\.kubernetes\\.io/managed-by=x", "not"),
        ("operator.podAnnotations.checksum/config=x", "not"),
        ("operator.extraEnv[0].name=POD_NAME", "not"),
        ("servers.extraEnv[0].name=HOME,servers.extraEnv[0].value=/", "not"),
        ("images.operator=forebay/operator@sha256:abc", "does not match pattern"),
        ("store.server.image=a@latest", "does not match pattern"),
        ("networkPolicy.extraEgress[0].form=x", "additional properties 'form' not allowed"),
        ("images.registry=", "set images.registry to the registry that you pushed Forebay's images to"),
        ("images.operator=registry.example.com/operator:1", "nothing is published as forebay/"),
        ("operator.serviceAccount.create=false", "set operator.serviceAccount.name to an account of its own"),
        ("gateway.serviceAccount.create=false", "set gateway.serviceAccount.name to an account of its own"),
        ("operator.keySecret=forebay-repository-token", "a Secret that the operator makes itself"),
        ("store.server.secret=forebay-store", "a Secret that the operator makes itself"),
    ],
)
def test_values_that_cannot_be_meant_are_refused(setting: str, said: str) -> None:
    assert said in refusal(setting)


def test_a_release_whose_name_no_service_may_have_is_told_what_to_set() -> None:
    made = helm("template", "v1.2", str(CHART), check=False)

    assert "names of Services begin with a letter and have no dots; set fullnameOverride" in made.stderr
    assert helm("template", "v1.2", str(CHART), "--set=fullnameOverride=v1-2", LOCAL).stdout


def test_the_stores_of_its_own_and_of_yours_exclude_each_other() -> None:
    assert "set one of them" in refusal("store.uri=s3://bucket", "store.server.secret=s")


def test_the_secret_of_a_store_of_ones_own_is_not_one_that_the_operator_makes() -> None:
    assert "store.secret is" in refusal("store.uri=s3://bucket", "store.secret=forebay-store")
    reading = ("store.uri=s3://bucket", "store.secret=mine", "store.readSecret=forebay-store-read")
    assert "store.readSecret is" in refusal(*reading)


@pytest.mark.parametrize("said", ["images.registry=registry.example.com", "images.local=true", "images.pullPolicy=Never"])
def test_images_are_in_a_registry_or_on_the_nodes(said: str) -> None:
    assert helm("template", RELEASE, str(CHART), f"--set={said}").stdout
