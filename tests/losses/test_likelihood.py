"""GaussianNLL where the variance is tiny."""

from decimal import Decimal, localcontext

import numpy as np
import pytest
from exact_losses import close, exact_gaussian

from mlpcore.losses import GaussianNLL


@pytest.mark.parametrize(("dtype", "target", "log_variance"), [("float32", 1e-30, -190), ("float64", 1e-300, -1500)])
def test_a_tiny_variance_around_a_tiny_error(dtype, target, log_variance):
    """The precision alone overflows, the error in standard deviations does not."""
    target = np.asarray([[target]], dtype=dtype)
    with np.errstate(over="ignore"):
        value, dz = GaussianNLL().value_and_grad(np.asarray([[0, log_variance]], dtype), target, np.ones(1, dtype))
        assert np.isinf(np.exp(-np.asarray(log_variance, dtype) / 2))
    with localcontext(prec=60):
        terms, grads = exact_gaussian(None, [Decimal(0), Decimal(log_variance)], [Decimal(float(target[0, 0]))])
    close(value, terms, np.finfo(dtype), "value")
    close(dz[0, 0], grads[0], np.finfo(dtype), "gradient of the mean")
    close(dz[0, 1], grads[1], np.finfo(dtype), "gradient of the log-variance")
    assert np.isfinite(value)
