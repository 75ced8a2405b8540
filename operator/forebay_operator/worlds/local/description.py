"""How a running `forebay up` is found: a file in its state folder."""

from typing import ClassVar

from forebay_schema.documents import Document


class Description(Document):
    document_name: ClassVar[str] = "up"

    pid: int
    socket: str
    """The control API."""
    http_port: int
    grpc_port: int
