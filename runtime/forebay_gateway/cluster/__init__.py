"""Routes in a cluster: read from the ModelDeployments of an API server, followed by list and watch."""
