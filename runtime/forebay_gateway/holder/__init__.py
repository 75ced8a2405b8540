"""The holder: parks requests while a model has no ready replica, and answers what no replica should."""
