"""Where credentials for the API server are taken from."""

import base64
import json
import ssl
from pathlib import Path
from typing import Any

import pytest

from forebay_gateway.cluster.access import AccessError, find_access


def kubeconfig(folder: Path, cluster: dict[str, Any], user: dict[str, Any]) -> dict[str, str]:
    """An environment whose KUBECONFIG says this."""
    path = folder / "config"
    content = {
        "current-context": "here",
        "contexts": [{"name": "here", "context": {"cluster": "c", "user": "u"}}],
        "clusters": [{"name": "c", "cluster": {"server": "https://10.0.0.1:6443/", **cluster}}],
        "users": [{"name": "u", "user": user}],
    }
    path.write_text(json.dumps(content))
    return {"KUBECONFIG": str(path)}


def test_a_kubeconfig_with_a_token_is_used(tmp_path: Path) -> None:
    access = find_access(kubeconfig(tmp_path, {"insecure-skip-tls-verify": True}, {"token": "secret"}))
    assert (access.server, access.token) == ("https://10.0.0.1:6443/", "secret")
    assert access.context.verify_mode == ssl.CERT_NONE


def test_a_token_in_a_file_is_read_each_time(tmp_path: Path) -> None:
    environment = kubeconfig(tmp_path, {}, {"tokenFile": "token"})
    for token in ("one", "two"):
        (tmp_path / "token").write_text(f"{token}\n")
        assert find_access(environment).token == token
    assert find_access(environment).context.verify_mode == ssl.CERT_REQUIRED


@pytest.mark.parametrize(
    ("cluster", "user", "said"),
    [
        ({}, {"exec": {"command": "aws"}}, "only kubectl does"),
        ({"certificate-authority-data": "%%%"}, {}, "no base64"),
        ({"certificate-authority-data": base64.b64encode(b"no certificate").decode()}, {}, "gives no access"),
        ({"certificate-authority": "not-there.pem"}, {}, "No such file"),
    ],
)
def test_a_kubeconfig_that_cannot_be_used_says_why(tmp_path: Path, cluster: Any, user: Any, said: str) -> None:
    with pytest.raises(AccessError, match=said):
        find_access(kubeconfig(tmp_path, cluster, user))


@pytest.mark.parametrize("text", ["", "[]", "current-context: there\ncontexts: []", "{", "contexts: 1\ncurrent-context: x"])
def test_a_kubeconfig_that_makes_no_sense_says_so(tmp_path: Path, text: str) -> None:
    path = tmp_path / "config"
    path.write_text(text)
    with pytest.raises(AccessError, match="run in a pod, or set KUBECONFIG"):
        find_access({"KUBECONFIG": str(path)})


def test_without_anything_it_says_what_to_set(tmp_path: Path) -> None:
    with pytest.raises(AccessError, match="run in a pod, or set KUBECONFIG"):
        find_access({"HOME": str(tmp_path)})


def test_a_pod_without_a_service_account_says_so(tmp_path: Path) -> None:
    with pytest.raises(AccessError, match="automountServiceAccountToken"):
        find_access({"KUBERNETES_SERVICE_HOST": "10.96.0.1"}, tmp_path)
