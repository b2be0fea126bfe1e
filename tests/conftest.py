"""Settings for every test: hypothesis repeats itself exactly and keeps no clock, as test machines are shared."""

from hypothesis import HealthCheck, settings

settings.register_profile(
    "suite", deadline=None, derandomize=True, max_examples=50, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("suite")
