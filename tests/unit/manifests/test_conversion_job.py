from forebay_operator.domain.deployment import Source
from forebay_operator.manifests.conversion import job
from forebay_operator.manifests.installation import ConversionSettings, StoreSettings
from forebay_operator.manifests.kinds import Json
from forebay_operator.manifests.owners import Owner
from kubernetes_builders import a_start, an_installation


def _container(made: Json) -> Json:
    (container,) = made["spec"]["template"]["spec"]["containers"]
    found: Json = container
    return found


def test_a_job_is_one_attempt_that_kubernetes_does_not_repeat() -> None:
    made = job(a_start(attempt=3), "{}", [Owner("a", "1")], an_installation())
    assert made["metadata"]["name"] == f"forebay-convert-{'c' * 16}-3"
    assert made["metadata"]["annotations"]["forebay.dev/attempt"] == "3"
    assert made["spec"]["backoffLimit"] == 0
    assert made["spec"]["template"]["spec"]["restartPolicy"] == "Never"
    assert made["spec"]["activeDeadlineSeconds"] == 900


def test_the_order_is_a_file_in_the_pod_and_the_result_its_termination_message() -> None:
    made = job(a_start(), '{"order": 1}', [], an_installation())
    template = made["spec"]["template"]
    assert template["metadata"]["annotations"]["forebay.dev/order"] == '{"order": 1}'
    (volume,) = [each for each in template["spec"]["volumes"] if each["name"] == "order"]
    (item,) = volume["downwardAPI"]["items"]
    assert item["fieldRef"]["fieldPath"] == "metadata.annotations['forebay.dev/order']"
    container = _container(made)
    (mount,) = [each for each in container["volumeMounts"] if each["name"] == "order"]
    assert f"--order={mount['mountPath']}/{item['path']}" in container["args"]
    assert f"--result={container['terminationMessagePath']}" in container["args"]


def test_a_conversion_that_several_models_wait_for_goes_with_the_last_of_them() -> None:
    made = job(a_start(), "{}", [Owner("b", "2"), Owner("a", "1")], an_installation())
    references = made["metadata"]["ownerReferences"]
    assert [each["name"] for each in references] == ["a", "b"]
    assert not any(each.get("controller") for each in references)
    assert "forebay.dev/model" not in made["metadata"]["labels"]


def test_a_format_may_have_an_image_of_its_own() -> None:
    installation = an_installation(conversions=ConversionSettings(image="any", images={"sklearn": "learn"}))
    assert _container(job(a_start(), "{}", [], installation))["image"] == "any"
    start = a_start(source=Source(uri="s3://m/m.joblib", format="sklearn"))
    assert _container(job(start, "{}", [], installation))["image"] == "learn"


def test_credentials_are_there_only_where_they_are_named() -> None:
    assert "envFrom" not in _container(job(a_start(), "{}", [], an_installation()))
    installation = an_installation(store=StoreSettings(uri="s3://b", has_credentials=True))
    start = a_start(source=Source(uri="s3://m/m.onnx", secret="mine"))
    secrets = [each["secretRef"]["name"] for each in _container(job(start, "{}", [], installation))["envFrom"]]
    assert secrets == ["forebay-store", "mine"]
