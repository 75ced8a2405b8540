"""Loading and unloading: Triton's repository calls with Forebay's extra parameters.

`POST /v2/repository/models/{model}/load` with `{"parameters": {...}}`; values of parameters are strings, numbers or booleans.
Every order has a sequence that rises per server and model; an older order that arrives late is answered 200 and ignored.
A load order is idempotent; it answers when the version is ready, or with Triton's error form and numbers.
"""

import json
from typing import Any

from pydantic import Field

from forebay_schema.digests import DIGEST_PATTERN
from forebay_schema.documents import Part
from forebay_schema.serving import ServingConfig


class LoadOrder(Part):
    """Hold this version of a model."""

    forebay_artifact: str
    """URI of the artifact's folder."""
    forebay_digest: str = Field(pattern=DIGEST_PATTERN)
    """Of the artifact's manifest; it also names the artifact's folder at the server."""
    forebay_version: int = Field(ge=1)
    forebay_memory_limit: int = Field(default=0, ge=0)
    """Bytes the replica may take on the device; 0: what the device has."""
    forebay_sequence: int = Field(ge=0)

    def to_body(self, name: str, serving: ServingConfig) -> dict[str, Any]:
        """The JSON body of the load call."""
        return {"parameters": {"config": json.dumps(serving.to_triton_config(name)), **self.model_dump(mode="json")}}


class UnloadOrder(Part):
    """Let go of this version, after the requests in it have been answered."""

    forebay_version: int = Field(ge=1)
    forebay_sequence: int = Field(ge=0)

    def to_body(self) -> dict[str, Any]:
        return {"parameters": self.model_dump(mode="json")}


class IndexEntry(Part):
    """One version in the answer of `POST /v2/repository/index`."""

    name: str
    version: str = ""
    state: str = ""
    """READY, LOADING, UNLOADING, UNAVAILABLE, or empty: never loaded."""
    reason: str = ""
