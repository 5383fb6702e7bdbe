"""Initial weights: each rule with its formula and its paper. Given arrays enter by ``Model(..., params=tree)``.

``fans`` is (fan_in, fan_out) of the layer: a weight has this shape, a bias the shape (fan_out,).
"""

import math

import numpy as np

from mlpcore.configuration import check_number, configuration
from mlpcore.random import Stream


@configuration
class GlorotUniform:
    """``U(-a, a)`` with ``a = sqrt(6 / (fan_in + fan_out))``: variance ``2 / (fan_in + fan_out)``.

    Source: Glorot & Bengio (2010), "Understanding the difficulty of training deep feedforward networks", eq. 16.
    """

    def __call__(self, rng: Stream, shape: tuple[int, ...], fans: tuple[int, int]) -> np.ndarray:
        """A float64 array of this shape."""
        return _uniform(rng, shape, 2 / sum(fans))


def _uniform(rng: Stream, shape: tuple[int, ...], variance: float) -> np.ndarray:
    bound = math.sqrt(3 * variance)
    return (rng.uniform(shape) * 2 - 1) * bound


@configuration
class Zeros:
    """All zeros: the usual start of a bias."""

    def __call__(self, rng: Stream, shape: tuple[int, ...], fans: tuple[int, int]) -> np.ndarray:
        """A float64 array of this shape."""
        return np.zeros(shape)


@configuration
class Constant:
    """All equal to ``value``."""

    value: float

    def __post_init__(self) -> None:
        check_number(self, value=self.value)

    def __call__(self, rng: Stream, shape: tuple[int, ...], fans: tuple[int, int]) -> np.ndarray:
        """A float64 array of this shape."""
        return np.full(shape, float(self.value))
