"""RAdam: Adam that divides by the root of v only once v averages enough gradients."""

import math

from mlpcore.configuration import configuration
from mlpcore.namespace import namespace
from mlpcore.optimizers.adam import AdamState, adam_init, bias_correction, check_moments
from mlpcore.typing import Array, Schedule


def sample_length(count: Array, beta: float) -> Array:
    """``rho_t = (1 + beta) / (1 - beta) - 2 t beta^t / (1 - beta^t)``: the effective number of gradients in v.

    In the first steps rho_t is near t, but the formula subtracts two numbers near ``2 / (1 - beta)``: in float32 and
    with beta = 0.9999 all digits would cancel. With ``x = -log(beta)`` and ``L(z) = coth(z) - 1/z`` the same number is
    ``t - t L(t x / 2) + L(x / 2)``, which a few terms of L give exactly while ``t x`` is small.
    """
    xp = namespace(count)
    limit = (1 + beta) / (1 - beta)
    x = -math.log(beta) if beta else math.inf
    constant = _langevin(0.5 * min(x, 0.2))  # with a larger x no step is early
    age = count * x
    early = age < 0.2
    half = 0.5 * xp.minimum(age, 0.2)
    late = limit + 2 * count * xp.exp(-age) / xp.expm1(-age)
    return xp.where(early, count * (1 - _langevin(half)) + constant, late)


def _langevin(z: Array) -> Array:
    """``coth(z) - 1/z`` by its series, to 2e-16 for z up to 0.1."""
    s = z * z
    return z * (1 / 3 - s * (1 / 45 - s * (2 / 945 - s * (1 / 4725 - s * (2 / 93555)))))


@configuration
class RAdam:
    """Rectified Adam: Adam with a correction for the variance of the rate in the first steps.

    At step t::

        m = beta1 m + (1 - beta1) g              v = beta2 v + (1 - beta2) g^2
        limit = 2 / (1 - beta2) - 1              rho = limit - 2 t beta2^t / (1 - beta2^t)
        r = sqrt((rho - 4) (rho - 2) limit / ((limit - 4) (limit - 2) rho))
        rho > 5:  p -= rate * m / (1 - beta1^t) * r * sqrt(1 - beta2^t) / (sqrt(v) + eps)
        else:     p -= rate * m / (1 - beta1^t)

    Algorithm 2 of Liu et al. (2020), "On the variance of the adaptive learning rate and beyond", with torch's two
    choices: the bound 5 (the paper has 4), and eps on the root of the uncorrected v (the paper has none). For beta2 up
    to 2/3 rho never exceeds 5.
    """

    learning_rate: float | Schedule = 1e-3
    beta1: float = 0.9
    beta2: float = 0.999
    eps: float = 1e-8
    weight_decay: float | Schedule = 0.0

    squares = True

    def __post_init__(self) -> None:
        check_moments(self)

    def init(self, params: Array) -> AdamState:
        """No update done, both averages zero."""
        return adam_init(params)

    def update(self, grads: Array, state: AdamState, params: Array, rate: Array) -> tuple[Array, AdamState]:
        """The formula above for one step."""
        xp, g, count = namespace(grads), grads, state.count + 1
        rho = sample_length(count, self.beta2)
        trusted = rho > 5
        # Clipped at 5, so that the root exists everywhere; where rho is smaller it is not used.
        limit = max((1 + self.beta2) / (1 - self.beta2), 5.0)
        r = xp.sqrt(_excess(xp.maximum(rho, 5.0)) / _excess(limit))
        root = xp.sqrt(bias_correction(count, self.beta2))
        step = rate / bias_correction(count, self.beta1)
        step = xp.where(trusted, step * r * root, step)[..., None]
        m = self.beta1 * state.first_moment + (1 - self.beta1) * g
        v = self.beta2 * state.second_moment + (1 - self.beta2) * (g * g)
        divisor = xp.where(trusted[..., None], xp.sqrt(v) + self.eps, 1.0)
        return params - step * m / divisor, AdamState(count, m, v)


def _excess(rho: Array) -> Array:
    """``(rho - 4) (rho - 2) / rho``."""
    return (rho - 4) * ((rho - 2) / rho)
