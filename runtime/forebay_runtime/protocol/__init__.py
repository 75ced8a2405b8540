"""Wire formats: bytes to values and back; no I/O."""
