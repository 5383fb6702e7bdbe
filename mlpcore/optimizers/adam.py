"""Adam, and AdamW, which is Adam with ``eps_on="corrected"`` and weight decay by default."""

import math
from typing import Any, NamedTuple

from mlpcore.configuration import check_choice, check_number, configuration
from mlpcore.namespace import namespace
from mlpcore.schedules.rate import check_decay, check_rate
from mlpcore.typing import Array, Schedule


class AdamState(NamedTuple):
    """Updates done (...), and the moving averages of the gradient and of its square (..., P)."""

    count: Array
    first_moment: Array
    second_moment: Array


def check_moments(owner: Any) -> None:
    """Check the fields common to Adam and its variants: rate, both betas, eps and weight decay."""
    check_rate(owner)
    check_number(owner, beta1=owner.beta1, beta2=owner.beta2, least=0, below=1)
    check_number(owner, eps=owner.eps, above=0)
    check_decay(owner)


def adam_init(params: Array) -> AdamState:
    """No update done, both averages zero."""
    xp = namespace(params)
    return AdamState(xp.zeros_like(params[..., 0]), xp.zeros_like(params), xp.zeros_like(params))


def bias_correction(count: Array, beta: float) -> Array:
    """``1 - beta^count`` as ``-expm1(count log beta)``: in float32 the plain form is off by up to 1.7e-4."""
    return -namespace(count).expm1(count * (math.log(beta) if beta else -math.inf))


def adam_update(
    grads: Array,
    state: AdamState,
    params: Array,
    rate: Array,
    *,
    beta1: float,
    beta2: float,
    eps: float,
    eps_on: str,
) -> tuple[Array, AdamState]:
    """One update by the formulas of `Adam`, with both values of ``eps_on`` as ``p -= step * m / (sqrt(v) + e)``."""
    xp, g, count = namespace(grads), grads, state.count + 1
    root = xp.sqrt(bias_correction(count, beta2))
    step = (rate * root / bias_correction(count, beta1))[..., None]
    scaled_eps = (eps * root)[..., None] if eps_on == "corrected" else eps
    m = beta1 * state.first_moment + (1 - beta1) * g
    v = beta2 * state.second_moment + (1 - beta2) * (g * g)
    return params - step * m / (xp.sqrt(v) + scaled_eps), AdamState(count, m, v)


@configuration
class Adam:
    """Adam: adaptive estimates of the first and second moment of the gradient.

    At step t::

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
    weight_decay: float | Schedule = 0.0

    squares = True

    def __post_init__(self) -> None:
        check_moments(self)
        check_choice(self, ("corrected", "uncorrected"), eps_on=self.eps_on)

    def init(self, params: Array) -> AdamState:
        """No update done, both averages zero."""
        return adam_init(params)

    def update(self, grads: Array, state: AdamState, params: Array, rate: Array) -> tuple[Array, AdamState]:
        """The formula above for one step."""
        numbers = {"beta1": self.beta1, "beta2": self.beta2, "eps": self.eps}
        return adam_update(grads, state, params, rate, **numbers, eps_on=self.eps_on)


@configuration
class AdamW:
    """Adam with decoupled weight decay.

    At step t::

        p *= 1 - rate * weight_decay                      (leaves named weight only; done by the training step)
        m = beta1 m + (1 - beta1) g              v = beta2 v + (1 - beta2) g^2
        p -= rate * m / (1 - beta1^t) / (sqrt(v / (1 - beta2^t)) + eps)

    The same as ``Adam(weight_decay=0.01)``. Algorithm 2 of Loshchilov & Hutter (2019),
    "Decoupled weight decay regularization", in torch's form: the decay is multiplied by the whole rate, in the paper
    by the schedule only.
    """

    learning_rate: float | Schedule = 1e-3
    beta1: float = 0.9
    beta2: float = 0.999
    eps: float = 1e-8
    weight_decay: float | Schedule = 0.01

    squares = True

    def __post_init__(self) -> None:
        check_moments(self)

    def init(self, params: Array) -> AdamState:
        """No update done, both averages zero."""
        return adam_init(params)

    def update(self, grads: Array, state: AdamState, params: Array, rate: Array) -> tuple[Array, AdamState]:
        """The second and third line above for one step."""
        numbers = {"beta1": self.beta1, "beta2": self.beta2, "eps": self.eps}
        return adam_update(grads, state, params, rate, **numbers, eps_on="corrected")
