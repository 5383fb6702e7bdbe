"""Every loss refuses numbers it cannot work with."""

import pytest

from mlpcore.errors import ConfigurationError
from mlpcore.losses import Huber, PoissonNLL, Quantile, SoftmaxCrossEntropy


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Huber(0.0), "Huber: delta is 0.0, expected a finite number above 0"),
        (lambda: Quantile(()), "expected a tuple of levels"),
        (lambda: Quantile(0.5), "expected a tuple of levels"),
        (lambda: Quantile((0.0, 0.5)), "quantiles is 0.0, expected a finite number above 0 and below 1"),
        (lambda: Quantile((0.5, 1.0)), "above 0 and below 1"),
        (lambda: Quantile((0.5, 0.5)), "levels that increase"),
        (lambda: Quantile((0.9, 0.1)), "levels that increase"),
        (lambda: PoissonNLL("saturated"), "PoissonNLL: constant is 'saturated', expected one of 'none', 'deviance'"),
        (lambda: SoftmaxCrossEntropy(1.0), "label_smoothing is 1.0"),
        (lambda: SoftmaxCrossEntropy(-0.1), "label_smoothing is -0.1"),
    ],
)
def test_configurations_that_cannot_work(make, message):
    with pytest.raises(ConfigurationError, match=message):
        make()
