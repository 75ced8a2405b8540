"""The demand stream: what a gateway tells the controller of the load in front of it.

`GET /demand` on the gateway's control socket answers JSON lines without end: one every second, and one at once when a model
without a ready replica gets a request.
"""

from typing import ClassVar

from forebay_schema.documents import Document, Part


class ModelDemand(Part):
    namespace: str
    name: str
    held: int = 0
    """Requests waiting at this gateway for a replica, now."""
    in_flight: int = 0
    """Requests that Envoy has sent to replicas and that are not answered yet, now."""
    arrivals: int = 0
    """Requests that came for the model since this gateway started; each is counted once, however often retried.

    A model that left the routes and came back counts from zero.
    """


class RefusedRoute(Part):
    """A model whose newest route a gateway does not follow: its requests go where they went before, or wait."""

    namespace: str
    name: str
    reason: str


class DemandLine(Document):
    document_name: ClassVar[str] = "demand"

    gateway: str
    """Identity of the gateway process, new at each start: counters begin again with it."""
    sequence: int
    routes: str = ""
    """Digest of the newest route table that Envoy has acknowledged; empty while it has none. In a cluster the decimal
    resourceVersion up to which it has acknowledged all ModelDeployments. Either way without what is `refused`."""
    refused: tuple[RefusedRoute, ...] = ()
    """Models that `routes` does not speak of."""
    models: tuple[ModelDemand, ...] = ()
    """Models with anything to report; all others are zero in `held` and `in_flight`."""
