"""What each initializer promises: its distribution, the same bits everywhere, an error where it cannot work."""

import math

import numpy as np
import pytest

from mlpcore import initializers
from mlpcore.configuration import configuration
from mlpcore.errors import ConfigurationError
from mlpcore.initializers import (
    INITIALIZERS,
    Constant,
    GlorotNormal,
    GlorotUniform,
    HeNormal,
    HeUniform,
    LeCunNormal,
    LeCunUniform,
    Normal,
    Orthogonal,
    Repeated,
    Signs,
    Uniform,
    Zeros,
)
from mlpcore.layers import Linear
from mlpcore.random import Stream
from mlpcore.typing import Initializer

MEMBERS = [kind(0.25) if kind is Constant else kind() for kind in INITIALIZERS]
RANDOM = [rule for rule in MEMBERS if not isinstance(rule, (Zeros, Constant))]
SPREAD = [rule for rule in RANDOM if not isinstance(rule, (Signs, Repeated))]
FANS = (300, 200)
VARIANCES = {
    GlorotUniform: 2 / (300 + 200),
    GlorotNormal: 2 / (300 + 200),
    HeUniform: 2 / 300,
    HeNormal: 2 / 300,
    LeCunUniform: 1 / 300,
    LeCunNormal: 1 / 300,
    Normal: 1,
    Uniform: 1 / 3,
    Signs: 1,
    Repeated: 1,  # of signs
    Orthogonal: 1 / 300,  # 200 columns of length 1 and 300 entries
}


def weight(rule, stream=Stream(5, "weight"), fans=FANS):  # noqa: B008  # a Stream is frozen
    return rule(stream, fans, fans)


def test_the_list_holds_every_initializer():
    made = {value for value in vars(initializers).values() if isinstance(value, type) and "__call__" in vars(value)}
    assert made - {configuration, Initializer} == set(INITIALIZERS)


@pytest.mark.parametrize("rule", MEMBERS, ids=repr)
def test_shape_dtype_and_repeatability(rule):
    for fans in (FANS, (1, 1), (1, 7), (7, 1)):
        made = weight(rule, fans=fans)
        assert made.shape == fans
        assert made.dtype == np.float64
        np.testing.assert_array_equal(made, weight(rule, fans=fans))


@pytest.mark.parametrize("rule", SPREAD, ids=repr)
def test_another_stream_gives_other_numbers(rule):
    assert np.mean(weight(rule) == weight(rule, Stream(6, "weight"))) < 0.01


@pytest.mark.parametrize("rule", RANDOM, ids=repr)
def test_mean_and_variance(rule):
    made, variance = weight(rule), VARIANCES[type(rule)]
    # Five standard errors of 60,000 independent numbers.
    assert abs(np.mean(made)) < 5 * math.sqrt(variance / made.size)
    assert abs(np.mean(made * made) / variance - 1) < 5 * math.sqrt(2 / made.size)


@pytest.mark.parametrize("rule", SPREAD, ids=repr)
def test_uniform_ones_are_bounded_and_the_others_have_tails_of_normals(rule):
    made, deviation = weight(rule), math.sqrt(VARIANCES[type(rule)])
    largest = np.max(np.abs(made)) / deviation
    if isinstance(rule, (GlorotUniform, HeUniform, LeCunUniform, Uniform)):
        assert 0.999 * math.sqrt(3) < largest <= math.sqrt(3)
    else:
        assert 3.5 < largest < 6


@pytest.mark.parametrize("fans", [(6, 6), (9, 4), (4, 9), (1, 1), (5, 1), (1, 5), (64, 10)])
def test_orthogonal_is_orthonormal_on_the_short_side(fans):
    made = weight(Orthogonal(gain=3.0), fans=fans) / 3
    product = made.T @ made if fans[0] >= fans[1] else made @ made.T
    np.testing.assert_allclose(product, np.eye(min(fans)), rtol=0, atol=64 * np.finfo(float).eps)


def test_orthogonal_is_spread_evenly_over_the_group():
    """Haar's measure on O(3): entries of mean 0 and variance 1/3, a trace of variance 1, both signs of determinant."""
    draws = np.stack([weight(Orthogonal(), Stream(seed, "w"), (3, 3)) for seed in range(4000)])
    error = 5 / math.sqrt(len(draws))
    trace = np.trace(draws, axis1=1, axis2=2)
    assert np.max(np.abs(np.mean(draws, axis=0))) < error * math.sqrt(1 / 3)
    assert np.max(np.abs(np.mean(draws * draws, axis=0) - 1 / 3)) < error * math.sqrt(4 / 45)  # E x^4 is 1/5
    assert abs(np.mean(trace * trace) - 1) < error * math.sqrt(2)  # E tr^4 is 3
    assert abs(np.mean(np.sign(np.linalg.det(draws)))) < error


def test_orthogonal_gives_these_bits_on_every_machine():
    expected = [
        [-0.20467193160285957, -0.64735726853587],
        [0.3927126211280696, -0.7413633498356839],
        [0.8965970095983343, 0.17694335363101643],
    ]
    np.testing.assert_array_equal(weight(Orthogonal(), Stream(1, "w"), (3, 2)), expected)


def test_orthogonal_refuses_a_bias():
    with pytest.raises(ConfigurationError, match=r"Orthogonal\(\): got the shape \(3,\), expected a weight .*Zeros"):
        Linear(2, 3, bias_init=Orthogonal()).init(Stream(0), "float32")


def test_signs_are_signs_and_another_stream_gives_others():
    made, other = weight(Signs()), weight(Signs(), Stream(6, "weight"))
    assert set(np.unique(made)) == {-1.0, 1.0}
    assert abs(np.mean(made == other) - 0.5) < 5 * 0.5 / math.sqrt(made.size)


def test_repeated_draws_are_the_same_within_a_group():
    made = weight(Repeated(Normal(), (1, 3, 2)), fans=(4, 6))
    drawn = weight(Normal(), fans=(4, 3))
    np.testing.assert_array_equal(made, drawn[:, [0, 1, 1, 1, 2, 2]])
    with pytest.raises(ConfigurationError, match=r"got the shape \(2, 5\), expected a last axis of 6"):
        weight(Repeated(Normal(), (1, 3, 2)), fans=(2, 5))


def test_constants():
    np.testing.assert_array_equal(weight(Zeros()), np.zeros(FANS))
    np.testing.assert_array_equal(Constant(0.25)(Stream(0), (3,), (2, 3)), [0.25] * 3)


@pytest.mark.parametrize(
    "wrong",
    [
        lambda: Constant(math.nan),
        lambda: Orthogonal(0.0),
        lambda: Orthogonal("big"),
        lambda: Normal(0.0),
        lambda: Uniform(-1.0),
    ],
)
def test_values_that_cannot_work(wrong):
    with pytest.raises(ConfigurationError, match="expected a finite number"):
        wrong()
