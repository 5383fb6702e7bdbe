"""Tests of the emulated device; run them by `cuda_on_cpu/run.sh pytest cuda_on_cpu/tests`."""

import pytest

if not pytest.importorskip("cupy").cuda.is_available():
    raise pytest.UsageError("these tests run on the emulated device: cuda_on_cpu/run.sh pytest cuda_on_cpu/tests")
