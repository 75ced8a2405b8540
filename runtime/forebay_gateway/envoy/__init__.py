"""The Envoy process: its bootstrap, its supervision, its adoption by a new gateway process."""
