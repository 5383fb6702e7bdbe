"""NAdam: Adam with Nesterov's momentum."""

import math
from typing import NamedTuple

from mlpcore.configuration import check_number, configuration
from mlpcore.namespace import namespace
from mlpcore.optimizers.adam import adam_init, bias_correction, check_moments
from mlpcore.typing import Array, Schedule


class NAdamState(NamedTuple):
    """Updates done (...), the product of all mu so far (...), and the two moving averages of Adam (..., P)."""

    count: Array
    product: Array
    first_moment: Array
    second_moment: Array


@configuration
class NAdam:
    """Adam with Nesterov's momentum, whose coefficient mu warms up from near beta1 / 2 to beta1.

    At step t::

        m = beta1 m + (1 - beta1) g              v = beta2 v + (1 - beta2) g^2
        mu_t = beta1 (1 - 0.96^(t * momentum_decay) / 2)       M_t = mu_1 mu_2 ... mu_t
        ahead = mu_(t+1) / (1 - M_(t+1)) * m + (1 - mu_t) / (1 - M_t) * g
        p -= rate * ahead / (sqrt(v / (1 - beta2^t)) + eps)

    Dozat (2016), "Incorporating Nesterov momentum into Adam", in the form of torch and Keras, where m decays by the
    constant beta1 and mu enters only the step.
    """

    learning_rate: float | Schedule = 2e-3
    beta1: float = 0.9
    beta2: float = 0.999
    eps: float = 1e-8
    momentum_decay: float = 4e-3
    weight_decay: float | Schedule = 0.0

    squares = True

    def __post_init__(self) -> None:
        check_moments(self)
        check_number(self, momentum_decay=self.momentum_decay, least=0)

    def init(self, params: Array) -> NAdamState:
        """No update done, an empty product, both averages zero."""
        count, first_moment, second_moment = adam_init(params)
        return NAdamState(count, count + 1, first_moment, second_moment)

    def update(self, grads: Array, state: NAdamState, params: Array, rate: Array) -> tuple[Array, NAdamState]:
        """The formula above for one step."""
        xp, g, count = namespace(grads), grads, state.count + 1
        mu, next_mu = self._momentum(count), self._momentum(count + 1)
        product = state.product * mu
        root = xp.sqrt(bias_correction(count, self.beta2))
        rate_of_moment = (rate * root * next_mu / (1 - product * next_mu))[..., None]
        rate_of_gradient = (rate * root * (1 - mu) / (1 - product))[..., None]
        m = self.beta1 * state.first_moment + (1 - self.beta1) * g
        v = self.beta2 * state.second_moment + (1 - self.beta2) * (g * g)
        step = (rate_of_moment * m + rate_of_gradient * g) / (xp.sqrt(v) + (self.eps * root)[..., None])
        return params - step, NAdamState(count, product, m, v)

    def _momentum(self, count: Array) -> Array:
        """``mu_t``."""
        decay = namespace(count).exp(count * (self.momentum_decay * math.log(0.96)))
        return self.beta1 * (1 - 0.5 * decay)
