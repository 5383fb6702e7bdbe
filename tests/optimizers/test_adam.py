"""Adam: the two places of eps, and the bias correction."""

import math
from decimal import Decimal, getcontext

import numpy as np
import pytest
from updates import train

from mlpcore.optimizers import Adam
from mlpcore.optimizers.adam import bias_correction


def test_eps_on_the_uncorrected_root_acts_32_times_as_strongly_at_first():
    gradient = [np.array([1e-3])]
    corrected, _ = train(Adam(eps=1e-3), np.zeros(1), gradient, [1.0])
    uncorrected, _ = train(Adam(eps=1e-3, eps_on="uncorrected"), np.zeros(1), gradient, [1.0])
    assert corrected[0] == pytest.approx(-1 / 2)
    assert uncorrected[0] == pytest.approx(-1 / (1 + math.sqrt(1000)))


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("beta", [0.0, 0.5, 0.9, 0.999, 0.99999])
def test_bias_correction_is_exact_to_a_few_units_in_the_last_place(beta, dtype):
    getcontext().prec = 60
    for count in (1, 2, 7, 1000, 10**6):
        exact = 1 - Decimal(beta) ** count
        got = bias_correction(np.asarray(count, dtype=dtype), beta)
        assert got.dtype == dtype
        assert float(abs(Decimal(float(got)) / exact - 1)) < 3 * np.finfo(dtype).eps
