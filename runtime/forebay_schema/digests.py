"""The one way digests of plain data are taken, so that every process gets the same. Standard library only."""

import hashlib
import json
from typing import Final

DIGEST_PATTERN: Final = "^[0-9a-f]{64}$"
"""What `digest_of` gives, as a regular expression for a whole string."""


def canonical_json(value: object) -> bytes:
    """The one JSON form of plain data that digests are taken of: sorted keys, no spaces, UTF-8."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False).encode()


def digest_of(value: object) -> str:
    """The hexadecimal sha256 of plain data in its canonical form."""
    return hashlib.sha256(canonical_json(value)).hexdigest()
