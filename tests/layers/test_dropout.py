"""Dropout: its mask, what it does with it, and the masks of a stack."""

from dataclasses import replace

import numpy as np
import pytest
from single_layer import STREAM, normal, run

from mlpcore.layers import Dropout
from mlpcore.schedules import FlatCosine
from mlpcore.typing import Training


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("rate", [0.0, 0.1, 0.5, 0.999, 1 - 1.5 * 2.0**-17])
def test_dropout_noise_is_the_mask_over_the_share_kept(rate, dtype):
    noise = Dropout(rate).noise(STREAM, (40, 50), dtype)
    kept = STREAM.child("mask").mask((40, 50), 1 - rate)
    assert noise.dtype == dtype
    np.testing.assert_array_equal(noise != 0, kept)
    factor = np.asarray(65536 / round(65536 * (1 - rate)), dtype=dtype)
    np.testing.assert_array_equal(noise[kept], factor)
    if rate == 0:
        np.testing.assert_array_equal(noise, 1)


def test_dropout_uses_the_noise_it_is_given():
    layer, x, dy = Dropout(0.25), normal(30, 20), normal(30, 20)
    noise = layer.noise(STREAM, x.shape, "float64")
    assert 0.15 < np.mean(noise == 0) < 0.35
    y, dx, grads, _ = run(layer, x, dy, Training(noise, np.ones(len(x))))
    np.testing.assert_array_equal(y, x * noise)
    np.testing.assert_array_equal(dx, dy * noise)
    assert grads == {}
    y, dx, _, _ = run(layer, x, dy)
    np.testing.assert_array_equal(y, x)
    np.testing.assert_array_equal(dx, dy)


def test_dropout_of_a_stack_draws_by_member():
    stacked = Dropout().noise(STREAM, (3, 8, 5), "float32")
    for member in range(3):
        alone = Dropout().noise(replace(STREAM, member=member), (8, 5), "float32")
        np.testing.assert_array_equal(stacked[member], alone)
    assert np.any(stacked[0] != stacked[1])
    assert Dropout().noise(STREAM, (0, 8, 5), "float32").shape == (0, 8, 5)


def test_the_rate_may_be_a_schedule_of_the_step():
    for step, rate in ((0, 0.5), (5, 0.5), (10, 0.0)):
        stream = replace(STREAM, step=step)
        found = Dropout(FlatCosine(0.5, 10)).noise(stream, (30, 20), "float64")
        np.testing.assert_array_equal(found, Dropout(rate).noise(stream, (30, 20), "float64"))
