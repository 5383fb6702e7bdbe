"""Schedules that only fall: in steps, exponentially, by a power law, or along a curve that ends at a horizon.

They serve as learning rates, as weight decays, and as rates of `mlpcore.layers.Dropout`.
"""

import math

from mlpcore.configuration import check_count, check_number, configuration
from mlpcore.namespace import namespace
from mlpcore.typing import Array


def remaining(count: Array, steps: float) -> Array:
    """``(steps - count) / steps``, the fraction of the steps that remain; 0 from the horizon on.

    The difference comes first: it is exact, whereas ``1 - count / steps`` loses its digits near the end.
    """
    return namespace(count).maximum(steps - count, 0.0) / steps


def half_cosine(first: float, last: float, left: Array) -> Array:
    """From ``first`` at left = 1 to ``last`` at left = 0: ``last + (first - last) (1 - cos(pi left)) / 2``.

    Written with the square of ``sin(pi left / 2)``, which is exactly 0 at the end.
    """
    rise = namespace(left).sin(0.5 * math.pi * left)
    return last + (first - last) * (rise * rise)


@configuration
class StepDecay:
    """``initial * factor^floor(count / every)``: multiplied by ``factor`` after each ``every`` updates.

    torch's StepLR, counted in updates.
    """

    initial: float
    every: int
    factor: float

    def __post_init__(self) -> None:
        check_number(self, initial=self.initial, factor=self.factor, above=0)
        check_count(self, every=self.every)

    def __call__(self, count: Array) -> Array:
        """The rate after ``count`` updates."""
        # By exp and log: rounding a factor near 1 to float32 changes it by 6e-8, and its power of a million by 6 %.
        return self.initial * namespace(count).exp(count // self.every * math.log(self.factor))


@configuration
class ExponentialDecay:
    """``initial * factor^(count / every)``: the smooth curve through the corners of `StepDecay`.

    With ``every=1`` torch's ExponentialLR, counted in updates.
    """

    initial: float
    every: int
    factor: float

    def __post_init__(self) -> None:
        check_number(self, initial=self.initial, factor=self.factor, above=0)
        check_count(self, every=self.every)

    def __call__(self, count: Array) -> Array:
        """The rate after ``count`` updates."""
        return self.initial * namespace(count).exp(count * (math.log(self.factor) / self.every))


@configuration
class CosineDecay:
    """``final + (initial - final) (1 + cos(pi count / steps)) / 2`` up to ``count = steps``, then ``final``.

    Equation 5 of Loshchilov & Hutter (2017), "SGDR: stochastic gradient descent with warm restarts", without restarts.
    """

    initial: float
    steps: int
    final: float = 0.0

    def __post_init__(self) -> None:
        check_number(self, initial=self.initial, above=0)
        check_number(self, final=self.final, least=0)
        check_count(self, steps=self.steps)

    def __call__(self, count: Array) -> Array:
        """The rate after ``count`` updates."""
        return half_cosine(self.initial, self.final, remaining(count, self.steps))


@configuration
class FlatCosine:
    """``initial`` for the share ``flat`` of the steps, then half a cosine down to 0 at ``count = steps``.

    With ``u = (count / steps - flat) / (1 - flat)``::

        u <= 0:  initial        after:  initial (1 + cos(pi u)) / 2        from the horizon on:  0

    "flat_cos" of Holzmüller, Grinsztajn & Steinwart (2024), "Better by default: strong pre-tuned MLPs and boosted trees
    on tabular data", there for weight decay and dropout.
    """

    initial: float
    steps: int
    flat: float = 0.5

    def __post_init__(self) -> None:
        check_number(self, initial=self.initial, above=0)
        check_count(self, steps=self.steps)
        check_number(self, flat=self.flat, least=0, below=1)

    def __call__(self, count: Array) -> Array:
        """The value after ``count`` updates."""
        left = namespace(count).minimum(remaining(count, self.steps) / (1 - self.flat), 1.0)
        return half_cosine(self.initial, 0.0, left)


@configuration
class PolynomialDecay:
    """``final + (initial - final) (1 - count / steps)^power`` up to ``count = steps``, then ``final``.

    ``power=1`` is a straight line. The "poly" policy of Chen et al. (2018), "DeepLab", is power 0.9.
    """

    initial: float
    steps: int
    power: float = 1.0
    final: float = 0.0

    def __post_init__(self) -> None:
        check_number(self, initial=self.initial, power=self.power, above=0)
        check_number(self, final=self.final, least=0)
        check_count(self, steps=self.steps)

    def __call__(self, count: Array) -> Array:
        """The rate after ``count`` updates."""
        return self.final + (self.initial - self.final) * remaining(count, self.steps) ** self.power


@configuration
class InverseScaling:
    """``initial / (count + 1)^power``, without a horizon.

    scikit-learn's ``"invscaling"`` has the same formula, but counts the rows seen and changes once per epoch. Powers
    above 1/2 up to 1 satisfy the conditions of Robbins & Monro (1951), "A stochastic approximation method".
    """

    initial: float
    power: float = 0.5

    def __post_init__(self) -> None:
        check_number(self, initial=self.initial, power=self.power, above=0)

    def __call__(self, count: Array) -> Array:
        """The rate after ``count`` updates."""
        return self.initial * (count + 1) ** -self.power
