"""One profile for all property tests: no deadline on a busy machine, a failure prints what repeats it."""

from __future__ import annotations

from hypothesis import HealthCheck, settings

settings.register_profile(
    "farshore",
    deadline=None,
    print_blob=True,
    database=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)
settings.load_profile("farshore")
