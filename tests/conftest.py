"""The fixtures of all tests: `xp` runs a law once for every array library, and Hypothesis without a clock."""

import os

os.environ.setdefault("JAX_PLATFORMS", "cpu")

import pytest
from hypothesis import HealthCheck, settings
from libraries import MAKERS, OPTIONAL, Library

settings.register_profile(
    "laws", deadline=None, max_examples=8, derandomize=True, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("laws")


@pytest.fixture(scope="session", params=MAKERS)
def xp(request: pytest.FixtureRequest) -> Library:
    """A library to run on: read-only NumPy, array-api-strict on device1, torch, JAX, and the spy."""
    name = request.param
    if name in OPTIONAL:
        pytest.importorskip(name, reason=f"{name} is not installed; the extra `oracles` brings it")
    return MAKERS[name]()
