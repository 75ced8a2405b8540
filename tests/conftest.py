"""What holds for every test: Hypothesis has no deadline, as machines that run tests are busy, and no test asserts a speed."""

from hypothesis import settings

settings.register_profile("forebay", deadline=None)
settings.load_profile("forebay")
