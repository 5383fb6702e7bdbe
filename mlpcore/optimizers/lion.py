"""Lion: every parameter moves by the same amount, in the direction of a sign."""

from typing import NamedTuple

from mlpcore.configuration import check_number, configuration
from mlpcore.namespace import namespace
from mlpcore.numerics import sign
from mlpcore.schedules.rate import check_decay, check_rate
from mlpcore.typing import Array, Schedule


class LionState(NamedTuple):
    """The moving average of the gradient (..., P)."""

    first_moment: Array


@configuration
class Lion:
    """Lion: the sign of an interpolation between the gradient and its moving average.

    At each step::

        p -= rate * sign(beta1 m + (1 - beta1) g)          (with m of the step before)
        m = beta2 m + (1 - beta2) g

    sign(0) is 0. Algorithm 2 of Chen et al. (2023), "Symbolic discovery of optimization algorithms", whose advice is a
    rate 3 to 10 times smaller than AdamW's and a weight decay that much larger.
    """

    learning_rate: float | Schedule = 1e-4
    beta1: float = 0.9
    beta2: float = 0.99
    weight_decay: float | Schedule = 0.0

    def __post_init__(self) -> None:
        check_rate(self)
        check_number(self, beta1=self.beta1, beta2=self.beta2, least=0, below=1)
        check_decay(self)

    def init(self, params: Array) -> LionState:
        """An average of zero."""
        return LionState(namespace(params).zeros_like(params))

    def update(self, grads: Array, state: LionState, params: Array, rate: Array) -> tuple[Array, LionState]:
        """The formula above for one step."""
        g, m = grads, state.first_moment
        direction = sign(self.beta1 * m + (1 - self.beta1) * g)
        return params - rate[..., None] * direction, LionState(self.beta2 * m + (1 - self.beta2) * g)
