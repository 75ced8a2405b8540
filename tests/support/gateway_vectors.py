"""Requests and the cluster that must answer them: for the parser in Lua inside of Envoy and for the one in Python alike."""

from dataclasses import dataclass

HOLDER_HTTP = "holder-http"
HOLDER_GRPC = "holder-grpc"


@dataclass(frozen=True, slots=True)
class Vector:
    authority: str
    path: str
    cluster: str
    grpc: bool = False


_RPC = "/inference.GRPCInferenceService/"

AUTHORITIES = {
    "digits.team-a": "team-a/digits",
    "digits.team-a:8000": "team-a/digits",
    "digits.team-a:99999": "team-a/digits",
    "digits.team-a:": "",
    "digits.team-a:http": "",
    "digits.team-a.svc": "team-a/digits",
    "digits.team-a.svc:80": "team-a/digits",
    "Digits.Team-A.SVC.Cluster.Local": "team-a/digits",
    "digits.svc": "svc/digits",
    "digits.svc.svc": "svc/digits",
    "digits.svc.cluster.local": "",
    "digits.team-a.svc.svc": "",
    "digits.team-a.svc.cluster": "",
    "digits.team-a.example.com": "",
    "digits": "",
    "digits.": "",
    ".team-a": "",
    "digits.team-a.": "",
    "digits..team-a": "",
    "-digits.team-a": "",
    "digits-.team-a": "",
    "digits.team_a": "",
    "digits.team-a-": "",
    "digits%2eteam-a": "",
    "1.team-a": "team-a/1",
    "1.2": "",
    "127.0.0.1:8000": "",
    "0.127": "",
    "localhost:8000": "",
    "[::1]:8000": "",
    "x" * 63 + ".team-a": "team-a/" + "x" * 63,
    "x" * 64 + ".team-a": "",
}
"""Each authority with the model that it names, or with nothing."""

CALLS = {
    "/v2/models/{}": True,
    "/v2/models/{}/infer": True,
    "/v2/models/{}/versions/12/infer": True,
    "/v2/models/{}/generate": True,
    "/v2/models/{}/generate_stream": True,
    "/v2/models/{}/config": True,
    "/v2/models/{}/versions/1": True,
    "/v2/models/{}/stats?x=/ready": True,
    "/v2/models/{}/ready": False,
    "/v2/models/{}/versions/2/ready": False,
    "/v2/models/{}/versions/x/infer": False,
    "/v2/models/{}/versions/1infer": False,
    "/v2/models/{}/infer/": False,
    "/v2/models/{}/": False,
    "/v2/models/{}/trace/setting": False,
    "/x/v2/models/{}/infer": False,
    "/v2/repository/models/{}/load": False,
    "/v2/models": False,
    "/v2": False,
    "/": False,
}
"""Each path, for the model named, and whether a replica answers it."""

METHODS = {
    "ModelInfer": True,
    "ModelStreamInfer": True,
    "ModelMetadata": True,
    "ModelConfig": True,
    "ModelStatistics": True,
    "ModelReady": False,
    "ServerLive": False,
    "ServerMetadata": False,
    "RepositoryModelLoad": False,
    "SystemSharedMemoryRegister": False,
    "TraceSetting": False,
    "LogSettings": False,
    "Nonsense": False,
}


def _by_authority(authority: str, model: str) -> list[Vector]:
    name = model.partition("/")[2]
    return [
        Vector(authority, f"/v2/models/{name or 'other'}/infer", f"h/{model or 'default/other'}"),
        Vector(authority, f"{_RPC}ModelInfer", f"g/{model}" if model else HOLDER_GRPC, grpc=True),
        *([Vector(authority, "/v2/models/other/infer", HOLDER_HTTP)] if model else []),
    ]


def _by_call(path: str, answered: bool) -> list[Vector]:
    return [
        Vector("digits.team-a", path.format("digits"), "h/team-a/digits" if answered else HOLDER_HTTP),
        Vector("10.0.0.1:8000", path.format("digits"), "h/default/digits" if answered else HOLDER_HTTP),
        Vector("10.0.0.1:8000", path.format("stats"), HOLDER_HTTP),
    ]


def _by_method(method: str, answered: bool) -> Vector:
    return Vector("digits.team-a", _RPC + method, "g/team-a/digits" if answered else HOLDER_GRPC, grpc=True)


VECTORS = [
    *(vector for item in AUTHORITIES.items() for vector in _by_authority(*item)),
    *(vector for item in CALLS.items() for vector in _by_call(*item)),
    *(_by_method(*item) for item in METHODS.items()),
    Vector("digits.team-a", "/other.Service/ModelInfer", HOLDER_GRPC, grpc=True),
    Vector("digits.team-a", "/grpc.health.v1.Health/Check", HOLDER_GRPC, grpc=True),
]
