"""What models may take of a GPU."""

from typing import Final

_CONTEXT_BYTES: Final = 1 << 30
"""Kept free on each GPU for the CUDA context and the libraries' own workspaces."""


def usable_bytes(total_bytes: int) -> int:
    """What is left for models of all that a GPU has; 0: nothing."""
    return max(0, total_bytes - _CONTEXT_BYTES)
