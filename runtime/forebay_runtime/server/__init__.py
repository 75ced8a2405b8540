"""The edges: HTTP, gRPC, metrics, and the process around them."""
