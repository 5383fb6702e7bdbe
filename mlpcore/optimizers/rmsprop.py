"""RMSprop: each gradient divided by the root of a moving mean of its square."""

from typing import NamedTuple

from mlpcore.configuration import check_number, configuration
from mlpcore.errors import ConfigurationError
from mlpcore.namespace import namespace
from mlpcore.schedules.rate import check_decay, check_rate
from mlpcore.typing import Array, Schedule


class RMSpropState(NamedTuple):
    """The moving average of the squared gradient (..., P), and the velocity (..., P), or () without momentum."""

    second_moment: Array
    velocity: Array


@configuration
class RMSprop:
    """RMSprop: rates adapted to a moving average of squared gradients.

    At each step::

        v = alpha v + (1 - alpha) g^2
        momentum == 0:  p -= rate * g / (sqrt(v) + eps)
        momentum > 0:   b = momentum b + g / (sqrt(v) + eps)       p -= rate * b

    Tieleman & Hinton (2012), "Neural networks for machine learning", lecture 6.5, in torch's variant: eps stands
    outside the root, v is not centered and not corrected for its start at zero, and the rate enters after the momentum.
    """

    learning_rate: float | Schedule = 1e-2
    alpha: float = 0.99
    eps: float = 1e-8
    momentum: float = 0.0
    weight_decay: float | Schedule = 0.0

    squares = True

    def __post_init__(self) -> None:
        check_rate(self)
        check_number(self, alpha=self.alpha, least=0, below=1)
        check_number(self, eps=self.eps, above=0)
        check_number(self, momentum=self.momentum, least=0)
        check_decay(self)
        if self.momentum > 1:
            raise ConfigurationError(f"RMSprop: momentum is {self.momentum!r}, expected a number from 0 to 1")

    def init(self, params: Array) -> RMSpropState:
        """An average of zero, and a velocity of zero if there is momentum."""
        xp = namespace(params)
        return RMSpropState(xp.zeros_like(params), xp.zeros_like(params) if self.momentum else ())

    def update(self, grads: Array, state: RMSpropState, params: Array, rate: Array) -> tuple[Array, RMSpropState]:
        """The formula above for one step."""
        g, rate = grads, rate[..., None]
        v = self.alpha * state.second_moment + (1 - self.alpha) * (g * g)
        divisor = namespace(g).sqrt(v) + self.eps
        if not self.momentum:
            return params - rate * g / divisor, RMSpropState(v, ())
        b = self.momentum * state.velocity + g / divisor
        return params - rate * b, RMSpropState(v, b)
