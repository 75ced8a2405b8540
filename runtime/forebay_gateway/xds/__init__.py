"""What Envoy is told: resources built from the route table, and the delta stream that carries them."""
