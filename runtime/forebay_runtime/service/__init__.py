"""What the server does, whichever way it is asked: models, queues, inference, orders, figures."""
