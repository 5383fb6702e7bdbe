"""Stochastic gradient descent, with momentum."""

from typing import Any, NamedTuple

from mlpcore.configuration import check_choice, check_number, configuration
from mlpcore.errors import ConfigurationError
from mlpcore.namespace import namespace
from mlpcore.schedules.rate import check_decay, check_rate
from mlpcore.typing import Array, Schedule


class SGDState(NamedTuple):
    """The sum of past gradients, decaying by ``momentum`` with each update (..., P)."""

    velocity: Array


@configuration
class SGD:
    """Gradient descent, ``p -= rate * g``, or with momentum.

    The two forms of momentum::

        rate_on="velocity":  v = momentum v + g            p -= rate * v
                  nesterov:                                p -= rate * (g + momentum v)
        rate_on="gradient":  v = momentum v + rate * g     p -= v
                  nesterov:                                p -= rate * g + momentum v

    While the rate is constant both take the same steps. When it changes, the first applies the new rate to all past
    gradients at once, in the second each keeps the rate of its own step. ``"velocity"`` is torch's form.
    ``"gradient"`` is scikit-learn's, and equations 1 and 2 of Sutskever, Martens, Dahl & Hinton (2013), "On the
    importance of initialization and momentum in deep learning", both with v of the opposite sign. ``nesterov`` adds
    the momentum term of the next step in advance, as torch and scikit-learn do; it needs a momentum above 0. Without
    momentum there is no state.
    """

    learning_rate: float | Schedule
    momentum: float = 0.0
    nesterov: bool = False
    rate_on: str = "velocity"
    weight_decay: float | Schedule = 0.0

    def __post_init__(self) -> None:
        check_rate(self)
        check_number(self, momentum=self.momentum, least=0)
        check_decay(self)
        check_choice(self, (False, True), nesterov=self.nesterov)
        check_choice(self, ("velocity", "gradient"), rate_on=self.rate_on)
        if self.momentum > 1:
            raise ConfigurationError(f"SGD: momentum is {self.momentum!r}, expected a number from 0 to 1")
        if self.nesterov and self.momentum == 0:
            raise ConfigurationError(
                "SGD: nesterov=True with momentum 0, expected a momentum above 0, as in momentum=0.9"
            )

    def init(self, params: Array) -> SGDState | tuple[()]:
        """A velocity of zero, or nothing without momentum."""
        return SGDState(namespace(params).zeros_like(params)) if self.momentum else ()

    def update(self, grads: Array, state: Any, params: Array, rate: Array) -> tuple[Array, SGDState | tuple[()]]:
        """The formula above for one step."""
        rate = rate[..., None]
        if not self.momentum:
            return params - rate * grads, ()
        rate_first = self.rate_on == "gradient"
        g = rate * grads if rate_first else grads
        v = self.momentum * state.velocity + g
        step = g + self.momentum * v if self.nesterov else v
        return params - (step if rate_first else rate * step), SGDState(v)
