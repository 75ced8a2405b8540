"""Names of HTTP headers and gRPC metadata between gateway, servers and clients."""

from typing import Final

MODEL: Final = "forebay-model"
"""Gateway → server: the model that the host names. A message for another model is refused."""

VERSION: Final = "forebay-version"
"""Gateway → server: the version that answers a request which names none."""

RETRY: Final = "x-forebay-retry"
"""Server or holder → Envoy, with 503 / UNAVAILABLE: nothing was executed, try elsewhere. The value is the reason."""

START: Final = "x-forebay-start"
"""Envoy → holder: when the request arrived, in seconds since the epoch; the hold's time limit counts from here."""

MIRROR: Final = "x-forebay-mirror"
"""Envoy → holder and server: a mirrored copy. It is never held."""

ATTEMPT: Final = "x-envoy-attempt-count"

REPOSITORY_TOKEN: Final = "forebay-repository-token"
"""Controller → server: opens repository control (Triton's restricted API)."""
