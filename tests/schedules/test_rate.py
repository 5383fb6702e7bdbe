"""A learning rate is a number, a schedule or a function of the number of updates."""

import math

import numpy as np
import pytest

from mlpcore.errors import ConfigurationError
from mlpcore.schedules import StepDecay
from mlpcore.schedules.rate import check_rate, rate_at


def test_a_number_is_the_constant_schedule():
    count = np.asarray([0, 7], dtype="float32")
    assert rate_at(0.1, count).tolist() == [np.float32(0.1)] * 2 and rate_at(0.1, count).dtype == "float32"
    assert rate_at(StepDecay(0.5, 4, 0.5), count).tolist() == [0.5, 0.25]
    assert rate_at(lambda c: 2 * c, count).tolist() == [0, 14]


class Owner:
    def __init__(self, learning_rate: object) -> None:
        self.learning_rate = learning_rate


@pytest.mark.parametrize("rate", [1, 0.1, StepDecay(0.1, 1, 0.5), lambda count: count])
def test_rates_that_are_taken(rate):
    check_rate(Owner(rate))


@pytest.mark.parametrize("rate", [0, -0.1, math.nan, math.inf, True, "0.1", None, StepDecay])
def test_rates_that_are_refused(rate):
    with pytest.raises(ConfigurationError, match="Owner: learning_rate is"):
        check_rate(Owner(rate))
