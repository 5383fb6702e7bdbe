"""Initial weights: each rule with its formula and its paper. ``Model(..., params=tree)`` takes arrays instead.

``fans`` is (fan_in, fan_out) of the layer: a weight has this shape, a bias the shape (fan_out,). Every rule is made of
operations that IEEE 754 rounds correctly, in a fixed order: the same `Stream` gives the same bits on every machine.
"""

import math

import numpy as np

from mlpcore.configuration import check_number, configuration
from mlpcore.errors import ConfigurationError
from mlpcore.random import Stream
from mlpcore.typing import Initializer

__all__ = [
    "GlorotUniform",
    "GlorotNormal",
    "HeUniform",
    "HeNormal",
    "LeCunUniform",
    "LeCunNormal",
    "Normal",
    "Uniform",
    "Signs",
    "Repeated",
    "Orthogonal",
    "Zeros",
    "Constant",
]


@configuration
class GlorotUniform:
    """``U(-a, a)`` with ``a = sqrt(6 / (fan_in + fan_out))``: variance ``2 / (fan_in + fan_out)``.

    Source: Glorot & Bengio (2010), "Understanding the difficulty of training deep feedforward networks", eq. 16.
    """

    def __call__(self, rng: Stream, shape: tuple[int, ...], fans: tuple[int, int]) -> np.ndarray:
        """A float64 array of this shape."""
        return _uniform(rng, shape, 2 / sum(fans))


@configuration
class GlorotNormal:
    """``N(0, 2 / (fan_in + fan_out))``, the second number being the variance.

    Source: Glorot & Bengio (2010), "Understanding the difficulty of training deep feedforward networks", eq. 12.
    """

    def __call__(self, rng: Stream, shape: tuple[int, ...], fans: tuple[int, int]) -> np.ndarray:
        """A float64 array of this shape."""
        return _normal(rng, shape, 2 / sum(fans))


@configuration
class HeUniform:
    """``U(-a, a)`` with ``a = sqrt(6 / fan_in)``: variance ``2 / fan_in``, for layers before a ReLU.

    Source: He, Zhang, Ren & Sun (2015), "Delving deep into rectifiers", eq. 10, which fixes the variance.
    """

    def __call__(self, rng: Stream, shape: tuple[int, ...], fans: tuple[int, int]) -> np.ndarray:
        """A float64 array of this shape."""
        return _uniform(rng, shape, 2 / fans[0])


@configuration
class HeNormal:
    """``N(0, 2 / fan_in)``, the second number being the variance, for layers before a ReLU.

    Source: He, Zhang, Ren & Sun (2015), "Delving deep into rectifiers", eq. 10.
    """

    def __call__(self, rng: Stream, shape: tuple[int, ...], fans: tuple[int, int]) -> np.ndarray:
        """A float64 array of this shape."""
        return _normal(rng, shape, 2 / fans[0])


@configuration
class LeCunUniform:
    """``U(-a, a)`` with ``a = sqrt(3 / fan_in)``: variance ``1 / fan_in``.

    Source: LeCun, Bottou, Orr & Müller (1998), "Efficient BackProp", eq. 16, which fixes the variance.
    """

    def __call__(self, rng: Stream, shape: tuple[int, ...], fans: tuple[int, int]) -> np.ndarray:
        """A float64 array of this shape."""
        return _uniform(rng, shape, 1 / fans[0])


@configuration
class LeCunNormal:
    """``N(0, 1 / fan_in)``, the second number being the variance; `SELU` is derived for these weights.

    Source: LeCun, Bottou, Orr & Müller (1998), "Efficient BackProp", eq. 16.
    """

    def __call__(self, rng: Stream, shape: tuple[int, ...], fans: tuple[int, int]) -> np.ndarray:
        """A float64 array of this shape."""
        return _normal(rng, shape, 1 / fans[0])


@configuration
class Normal:
    """``N(0, std^2)``, whatever the fans are."""

    std: float = 1.0

    def __post_init__(self) -> None:
        check_number(self, std=self.std, above=0)

    def __call__(self, rng: Stream, shape: tuple[int, ...], fans: tuple[int, int]) -> np.ndarray:
        """A float64 array of this shape."""
        return rng.normal(shape) * self.std


@configuration
class Uniform:
    """``U(-bound, bound)``, whatever the fans are. torch's Linear has the bound ``1 / sqrt(fan_in)``."""

    bound: float = 1.0

    def __post_init__(self) -> None:
        check_number(self, bound=self.bound, above=0)

    def __call__(self, rng: Stream, shape: tuple[int, ...], fans: tuple[int, int]) -> np.ndarray:
        """A float64 array of this shape."""
        return (rng.uniform(shape) * 2 - 1) * self.bound


@configuration
class Signs:
    """1 or -1, each with probability 1/2."""

    def __call__(self, rng: Stream, shape: tuple[int, ...], fans: tuple[int, int]) -> np.ndarray:
        """A float64 array of this shape."""
        return np.where(rng.mask(shape, 0.5), 1.0, -1.0)


@configuration
class Repeated:
    """Draws of ``rule``, each for several entries of the last axis: for as many as ``groups`` says, in this order.

    For columns that belong together, such as those of one category; () stands for groups of one. ConfigurationError if
    the sum of the groups is not the length of the axis.
    """

    rule: Initializer = Signs()
    groups: tuple[int, ...] = ()

    def __call__(self, rng: Stream, shape: tuple[int, ...], fans: tuple[int, int]) -> np.ndarray:
        """A float64 array of this shape."""
        groups = self.groups or (1,) * shape[-1]
        if sum(groups) != shape[-1]:
            raise ConfigurationError(f"{self!r}: got the shape {shape}, expected a last axis of {sum(groups)}")
        return np.repeat(self.rule(rng, (*shape[:-1], len(groups)), fans), groups, axis=-1)


@configuration
class Orthogonal:
    """``gain`` times a random matrix with orthonormal columns (rows, where there are more columns than rows).

    It is the Q of the QR factorisation of a matrix of standard normals, with the signs that make the diagonal of R
    positive, hence uniformly distributed (Haar measure) over all such matrices. The Householder reflections are drawn
    directly: in each step of the factorisation the vector to reflect again consists of independent standard normals.
    LAPACK would be four times as fast (1024 x 1024 takes 0.5 s here), but its last bits depend on machine and threads.

    For weights only: ConfigurationError for a shape without exactly two axes, such as that of a bias.

    Sources: Saxe, McClelland & Ganguli (2014), "Exact solutions to the nonlinear dynamics of learning in deep linear
    neural networks"; Stewart (1980), "The efficient generation of random orthogonal matrices with an application to
    condition estimators".
    """

    gain: float = 1.0

    def __post_init__(self) -> None:
        check_number(self, gain=self.gain, above=0)

    def __call__(self, rng: Stream, shape: tuple[int, ...], fans: tuple[int, int]) -> np.ndarray:
        """A float64 array of this shape (rows, columns)."""
        if len(shape) != 2:
            raise ConfigurationError(
                f"{self!r}: got the shape {tuple(shape)}, expected a weight (in, out); take Zeros() for a bias"
            )
        tall, narrow = max(shape), min(shape)
        normals = rng.normal((tall * narrow - narrow * (narrow - 1) // 2,))
        q, end = np.eye(tall, narrow), 0
        # From the last reflection (of the shortest vector) to the first: q is still the identity outside q[j:, j:].
        for j in reversed(range(narrow)):
            vector = normals[end : end + tall - j].copy()
            end += tall - j
            length = math.sqrt(np.sum(vector * vector))
            # With this sign nothing cancels. The diagonal entry of R becomes -sign * length; multiplying the column
            # of Q by -sign makes it positive.
            sign = 1.0 if vector[0] >= 0 else -1.0
            vector[0] += sign * length
            vector /= math.sqrt(length * abs(vector[0]))
            block = q[j:, j:]
            block -= vector[:, None] * np.sum(vector[:, None] * block, axis=0)
            q[:, j] *= -sign
        return self.gain * (q if shape[0] == tall else q.T)


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


def _uniform(rng: Stream, shape: tuple[int, ...], variance: float) -> np.ndarray:
    return (rng.uniform(shape) * 2 - 1) * math.sqrt(3 * variance)


def _normal(rng: Stream, shape: tuple[int, ...], variance: float) -> np.ndarray:
    return rng.normal(shape) * math.sqrt(variance)


INITIALIZERS = tuple(globals()[name] for name in __all__)
