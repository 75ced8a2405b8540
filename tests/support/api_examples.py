"""How Hypothesis tries examples here: without a clock, as the machine may be busy."""

from hypothesis import HealthCheck, settings

unhurried = settings(deadline=None, max_examples=60, suppress_health_check=[HealthCheck.too_slow])
