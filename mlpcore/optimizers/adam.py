"""Adam and what descends from it."""

import math
from typing import NamedTuple

from mlpcore import ops
from mlpcore.configuration import check_choice, check_number, configuration
from mlpcore.namespace import namespace
from mlpcore.schedules import check_rate
from mlpcore.typing import Array, Schedule


class AdamState(NamedTuple):
    """Updates done, and the moving averages of the gradient and of its square."""

    count: Array
    mean: Array
    square: Array


def bias_correction(count: Array, beta: float) -> Array:
    """``1 - beta^count`` as ``-expm1(count log beta)``: in float32 the plain form is off by up to 1.7e-4."""
    return -namespace(count).expm1(count * (math.log(beta) if beta else -math.inf))


@configuration
class Adam:
    """Adaptive moments::

        m = beta1 m + (1 - beta1) g              v = beta2 v + (1 - beta2) g^2
        eps_on="corrected":    p -= rate * m / (1 - beta1^t) / (sqrt(v / (1 - beta2^t)) + eps)
        eps_on="uncorrected":  p -= rate * sqrt(1 - beta2^t) / (1 - beta1^t) * m / (sqrt(v) + eps)

    ``eps_on="corrected"`` is algorithm 1 of Kingma & Ba (2015), "Adam: a method for stochastic optimization" (torch,
    Optax); ``"uncorrected"`` is the reordered form at the end of its section 2 (scikit-learn, TensorFlow).
    """

    learning_rate: float | Schedule = 1e-3
    beta1: float = 0.9
    beta2: float = 0.999
    eps: float = 1e-8
    eps_on: str = "corrected"
    weight_decay: float = 0.0

    def __post_init__(self) -> None:
        check_rate(self)
        check_number(self, beta1=self.beta1, beta2=self.beta2, least=0, below=1)
        check_number(self, eps=self.eps, weight_decay=self.weight_decay, least=0)
        check_choice(self, ("corrected", "uncorrected"), eps_on=self.eps_on)

    def init(self, params: Array) -> AdamState:
        """No update done, both averages zero."""
        xp = namespace(params)
        return AdamState(xp.zeros_like(params[..., 0]), xp.zeros_like(params), xp.zeros_like(params))

    def update(self, grads: Array, state: AdamState, params: Array, rate: Array) -> tuple[Array, AdamState]:
        """The formula above for one step, t counted from 1."""
        xp = namespace(grads)
        count = state.count + 1
        root = xp.sqrt(bias_correction(count, self.beta2))
        step = (rate * root / bias_correction(count, self.beta1))[..., None]
        eps = (self.eps * root)[..., None] if self.eps_on == "corrected" else self.eps

        def formula(g: Array, p: Array, m: Array, v: Array) -> tuple[Array, Array, Array]:
            m = self.beta1 * m + (1 - self.beta1) * g
            v = self.beta2 * v + (1 - self.beta2) * (g * g)
            return p - step * m / (xp.sqrt(v) + eps), m, v

        params, mean, square = ops.sweep(grads, (params, state.mean, state.square), formula)
        return params, AdamState(count, mean, square)
