"""Adagrad: each gradient divided by the root of the sum of all its squares."""

from typing import NamedTuple

from mlpcore.configuration import check_number, configuration
from mlpcore.namespace import namespace
from mlpcore.schedules.rate import check_decay, check_rate
from mlpcore.typing import Array, Schedule


class AdagradState(NamedTuple):
    """The sum of the squared gradients (..., P)."""

    accumulator: Array


@configuration
class Adagrad:
    """Adagrad: rates adapted to the sum of squared gradients.

    At each step::

        s = s + g^2                 (s starts at initial_accumulator; it is clipped at the largest float)
        p -= rate * g / (sqrt(s) + eps)

    Duchi, Hazan & Singer (2011), "Adaptive subgradient methods for online learning and stochastic optimization", the
    diagonal form, with eps outside the root and the defaults of torch.
    """

    learning_rate: float | Schedule = 1e-2
    initial_accumulator: float = 0.0
    eps: float = 1e-10
    weight_decay: float | Schedule = 0.0

    squares = True

    def __post_init__(self) -> None:
        check_rate(self)
        check_number(self, eps=self.eps, above=0)
        check_number(self, initial_accumulator=self.initial_accumulator, least=0)
        check_decay(self)

    def init(self, params: Array) -> AdagradState:
        """The initial accumulator everywhere."""
        return AdagradState(namespace(params).full_like(params, self.initial_accumulator))

    def update(self, grads: Array, state: AdagradState, params: Array, rate: Array) -> tuple[Array, AdagradState]:
        """The formula above for one step."""
        xp, g = namespace(grads), grads
        largest_float = float(namespace(rate).finfo(rate.dtype).max)  # an infinite sum would stop the entry for good
        s = xp.minimum(state.accumulator + g * g, largest_float)
        return params - rate[..., None] * g / (xp.sqrt(s) + self.eps), AdagradState(s)
