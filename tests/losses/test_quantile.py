"""Quantile takes its levels as a tuple or a list."""

import numpy as np

from mlpcore.losses import Quantile


def test_quantiles_given_as_a_list_are_hashable():
    assert hash(Quantile([0.25, 0.5])) == hash(Quantile((0.25, 0.5)))
    assert repr(Quantile([np.float64(0.25)])) == "Quantile(quantiles=(0.25,))"
