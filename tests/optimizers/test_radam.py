"""RAdam: the length of its sample, and when it begins to rectify."""

import math
from decimal import Decimal, getcontext

import numpy as np
import pytest
from updates import draws, train

from mlpcore.optimizers import RAdam
from mlpcore.optimizers.radam import sample_length


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("beta", [0.0, 0.3, 0.5, 2 / 3, 0.8, 0.9, 0.99, 0.999, 0.9999, 0.999999])
def test_the_sample_length_of_radam_survives_float32(beta, dtype):
    getcontext().prec = 60
    counts = np.asarray([*range(1, 40), 100, 199, 200, 201, 1999, 2000, 10**4, 10**6], dtype=dtype)
    with np.errstate(over="raise", invalid="raise", divide="raise"):
        got = sample_length(counts, beta)
    assert got.dtype == dtype
    for count, length in zip(counts, got, strict=True):
        power, t = Decimal(beta) ** int(count), int(count)
        exact = (1 + Decimal(beta)) / (1 - Decimal(beta)) - 2 * t * power / (1 - power)
        # Where the series hands over (t x = 0.2), the difference of 2/x and 1.8/x loses one digit: hence 20 units.
        assert float(abs(Decimal(float(length)) / exact - 1)) < 20 * np.finfo(dtype).eps, (t, exact)


@pytest.mark.parametrize("beta2", [0.0, 0.3, 1 / 3, 0.5, 0.6, 2 / 3, 0.7, 0.999])
def test_radam_has_no_nan_on_either_branch(beta2):
    with np.errstate(over="raise", invalid="raise", divide="raise"):
        moved, _ = train(RAdam(beta2=beta2), draws(5), draws(12, 5, seed=1), [0.1] * 12)
    assert np.all(np.isfinite(moved))


def test_radam_rectifies_from_the_sixth_update_on():
    gradient, moved = [np.array([1e-3])], []
    for steps in range(1, 8):
        moved.append(train(RAdam(), np.zeros(1), gradient * steps, [1.0] * steps)[0][0])
    taken = -np.diff([0.0, *moved])
    np.testing.assert_allclose(taken[:5], 1e-3, rtol=1e-12)  # momentum alone, corrected
    rho, limit = 5.994166, 1999.0  # 1999 - 12 * 0.999^6 / (1 - 0.999^6)
    r = math.sqrt((rho - 4) * (rho - 2) * limit / ((limit - 4) * (limit - 2) * rho))
    assert taken[5] == pytest.approx(r, rel=1e-3) and taken[6] > taken[5]


@pytest.mark.parametrize("beta2", [0.7, 0.72, 0.9, 0.999])
def test_every_rectified_update_is_the_formula(beta2):
    """For one gradient again and again m / (1 - beta1^t) and sqrt(v / (1 - beta2^t)) are its size."""
    steps, limit = 60, 2 / (1 - beta2) - 1
    path = [train(RAdam(beta2=beta2, eps=1e-300), np.zeros(1), [np.ones(1)] * t, [1.0] * t)[0][0] for t in range(steps)]
    rectified = 0
    for t, taken in enumerate(-np.diff(path), 1):
        rho = limit - 2 * t * beta2**t / (1 - beta2**t)
        r = math.sqrt((rho - 4) * (rho - 2) * limit / ((limit - 4) * (limit - 2) * rho)) if rho > 5 else 1.0
        assert taken == pytest.approx(r, rel=1e-9), t
        rectified += rho > 5
    assert rectified > 40
