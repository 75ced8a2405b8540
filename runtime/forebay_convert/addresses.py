"""Addresses of sources, samples and stores: which kinds there are, and how they are shown without secrets."""

from urllib.parse import urlsplit, urlunsplit

SCHEMES = ("file", "http", "https", "s3", "data")
_LONGEST_SHOWN = 200


def scheme_of(uri: str) -> str:
    """`file` for a path; the part before the colon else."""
    head, separator, _ = uri.partition(":")
    if head == "data" and separator:
        return "data"
    return head.lower() if uri.startswith(f"{head}://") and separator else "file"


def shown(uri: str) -> str:
    """The address for a message: no password, no signed query, not the content of a data URI."""
    scheme = scheme_of(uri)
    if scheme == "data":
        return f"the data URI ({len(uri)} characters)"
    if scheme == "file":
        return uri.removeprefix("file://")[:_LONGEST_SHOWN]
    parts = urlsplit(uri)
    return urlunsplit((parts.scheme, parts.netloc.rpartition("@")[2], parts.path, "", ""))[:_LONGEST_SHOWN]
