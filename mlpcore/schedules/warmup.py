"""Schedules that rise first: a warm-up before any other schedule, and the one-cycle policy."""

from mlpcore.configuration import check_count, check_number, configuration
from mlpcore.errors import ConfigurationError
from mlpcore.namespace import namespace
from mlpcore.schedules.decay import half_cosine, remaining
from mlpcore.schedules.rate import check_rate, rate_at
from mlpcore.typing import Array, Schedule


@configuration
class WarmUp:
    """A linear rise from ``start`` to the first rate of ``learning_rate``, a number or a schedule, which then follows.

    The rate::

        count < steps:  start + (learning_rate(0) - start) * count / steps
        after:          learning_rate(count - steps)

    The schedule inside counts from the end of the warm-up: ``WarmUp(CosineDecay(0.1, 900), 100)`` ends after 1000
    updates. The first update has the rate ``start``; at 0 it moves no parameter, only the optimizer's state.

    The gradual warm-up of Goyal et al. (2017), "Accurate, large minibatch SGD: training ImageNet in 1 hour",
    section 2.2.
    """

    learning_rate: float | Schedule
    steps: int
    start: float = 0.0

    def __post_init__(self) -> None:
        check_rate(self)
        check_count(self, steps=self.steps)
        check_number(self, start=self.start, least=0)

    def __call__(self, count: Array) -> Array:
        """The rate after ``count`` updates."""
        xp = namespace(count)
        after = rate_at(self.learning_rate, xp.maximum(count - self.steps, 0.0))
        warm = xp.minimum(count / self.steps, 1.0)
        return self.start * (1 - warm) + after * warm


@configuration
class OneCycle:
    """Up from ``peak / initial_divisor`` to ``peak``, then down to ``peak / initial_divisor / final_divisor``.

    The rate::

        top = rise * steps - 1                        (the count at which the peak is reached)
        count < top:  half a cosine from peak / initial_divisor at 0 to peak at top
        after:        half a cosine from peak at top to the final rate at steps - 1, the last of the updates

    Smith & Topin (2018), "Super-convergence: very fast training of neural networks using large learning rates", in the
    form and with the defaults of torch's OneCycleLR: two cosine phases. Momentum is not cycled.
    """

    peak: float
    steps: int
    rise: float = 0.3
    initial_divisor: float = 25.0
    final_divisor: float = 1e4

    def __post_init__(self) -> None:
        check_number(
            self, peak=self.peak, initial_divisor=self.initial_divisor, final_divisor=self.final_divisor, above=0
        )
        check_count(self, steps=self.steps)
        check_number(self, rise=self.rise, above=0, below=1)
        if self.rise * self.steps <= 1:
            raise ConfigurationError(
                f"OneCycle: rise * steps is {self.rise * self.steps:g}, expected more than 1: the peak comes at count "
                "rise * steps - 1; give more steps or a longer rise"
            )

    def __call__(self, count: Array) -> Array:
        """The rate after ``count`` updates."""
        top = self.rise * self.steps - 1
        initial = self.peak / self.initial_divisor
        rising = half_cosine(self.peak, initial, count / top)  # from the peak backwards: exact where the rate is small
        falling = half_cosine(self.peak, initial / self.final_divisor, remaining(count - top, self.steps - 1 - top))
        return namespace(count).where(count < top, rising, falling)
