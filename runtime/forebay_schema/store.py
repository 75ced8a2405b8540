"""Where things lie in the store. Paths only; each process brings its own fsspec.

<store>/<namespace>/artifacts/<sha256>/{<model files>, manifest.json}
<store>/<namespace>/conversions/<key>.json          → ConversionRecord
"""

from typing import ClassVar

from forebay_schema.digests import digest_of
from forebay_schema.documents import Document


def artifacts_uri(store: str, namespace: str) -> str:
    return f"{store.rstrip('/')}/{namespace}/artifacts"


def artifact_uri(store: str, namespace: str, digest: str) -> str:
    return f"{artifacts_uri(store, namespace)}/{digest}"


def conversion_uri(store: str, namespace: str, key: str) -> str:
    return f"{store.rstrip('/')}/{namespace}/conversions/{key}.json"


def conversion_key(source_sha256: str, options: object, converter: str) -> str:
    """What makes two conversions the same: the same bytes, options and converter version."""
    return digest_of({"source": source_sha256, "options": options, "converter": converter})


class ConversionRecord(Document):
    """Says that a conversion was done: found in the store, nothing is converted again."""

    document_name: ClassVar[str] = "conversion-record"

    artifact: str
