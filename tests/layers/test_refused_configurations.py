"""Every layer refuses numbers it cannot work with, by its own name and the field's."""

import math

import pytest

from mlpcore.errors import ConfigurationError
from mlpcore.layers import ELU, GELU, BatchNorm, Dropout, LayerNorm, LeakyReLU, RMSNorm


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        (lambda: LeakyReLU(-0.1), "LeakyReLU: slope is -0.1"),
        (lambda: ELU(math.inf), "ELU: alpha is inf"),
        (lambda: GELU("fast"), "GELU: approximate is 'fast', expected one of 'none', 'tanh'"),
        (lambda: Dropout(1.0), "Dropout: rate is 1.0"),
        (lambda: Dropout(1 - 2.0**-18), "Dropout: rate is 0.99999"),
        (lambda: Dropout(-0.1), "Dropout: rate is -0.1, expected a finite number of at least 0"),
        (lambda: Dropout("much"), "Dropout: rate is 'much', expected a number or a schedule"),
        (lambda: LayerNorm(0), "LayerNorm: features is 0"),
        (lambda: LayerNorm(2, eps=0), "LayerNorm: eps is 0"),
        (lambda: RMSNorm(2.0), "RMSNorm: features is 2.0"),
        (lambda: RMSNorm(2, eps=-1.0), "RMSNorm: eps is -1.0"),
        (lambda: BatchNorm(True), "BatchNorm: features is True"),
        (lambda: BatchNorm(2, momentum=1.5), "BatchNorm: momentum is 1.5"),
        (lambda: BatchNorm(2, eps=0.0), "BatchNorm: eps is 0.0"),
    ],
)
def test_values_that_cannot_work(wrong, message):
    with pytest.raises(ConfigurationError) as error:
        wrong()
    assert str(error.value).startswith(message)
