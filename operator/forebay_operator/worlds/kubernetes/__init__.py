"""The Kubernetes world: servers and conversions are pods, what is wanted and said are objects of an API server."""
