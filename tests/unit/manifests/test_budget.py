from forebay_operator.manifests.budget import budget
from forebay_operator.manifests.covering import difference
from forebay_operator.manifests.owners import Owner
from forebay_operator.manifests.pool import template
from kubernetes_builders import CPU, GPU, a_pool, an_installation


def test_a_budget_is_of_all_servers_of_its_pool_whatever_made_them() -> None:
    selector = budget(a_pool(GPU), 1)["spec"]["selector"]["matchLabels"]
    for installation in (an_installation(), an_installation(pull_policy="Always")):
        labels = template(a_pool(GPU), installation).content["metadata"]["labels"]
        assert not difference(labels, selector)
    other = template(a_pool(CPU), an_installation()).content["metadata"]["labels"]
    assert difference(other, selector)


def test_a_budget_does_not_keep_a_server_that_is_broken() -> None:
    assert budget(a_pool(), "25%")["spec"]["unhealthyPodEvictionPolicy"] == "AlwaysAllow"
    assert budget(a_pool(), "25%")["spec"]["maxUnavailable"] == "25%"


def test_the_budget_of_one_models_pool_goes_with_the_model() -> None:
    made = budget(a_pool(exclusive="digits"), 1, [Owner("digits", "uid-1")])
    (owner,) = made["metadata"]["ownerReferences"]
    assert owner["uid"] == "uid-1"
    assert made["metadata"]["name"] != budget(a_pool(), 1)["metadata"]["name"]
