"""Rates, which changes how fast the parameters of its layer learn."""

from mlpcore.configuration import check_number, configuration
from mlpcore.errors import ConfigurationError
from mlpcore.layers.containers import Wrapper
from mlpcore.typing import Layer


@configuration
class Rates(Wrapper):
    """The layer itself, with factors for the learning rate and the weight decay of its parameters.

    The steps of its leaves are multiplied by ``rate``. ``decay`` is the factor of their weight decay: for a leaf p with
    both factors, ``p *= 1 - learning_rate * rate * weight_decay * decay`` before the optimizer's update. None leaves
    it as it is: 1 for leaves named ``weight``, 0 for all others. With ``leaves`` both concern only the leaves that end
    with one of these names. Of Rates inside Rates, rates are multiplied, and the outer decay counts::

        Rates(net, rate=0.1, decay=0.0, leaves=("bias",))        a tenth of the rate for all biases of a network
    """

    layer: Layer
    rate: float = 1.0
    decay: float | None = None
    leaves: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        Wrapper.__post_init__(self)
        check_number(self, rate=self.rate, least=0)
        if self.decay is not None:
            check_number(self, decay=self.decay, least=0)
        if not isinstance(self.leaves, tuple) or not all(isinstance(name, str) for name in self.leaves):
            raise ConfigurationError(f"Rates: leaves is {self.leaves!r}, expected a tuple of names, such as ('bias',)")

    def leaf_factors(self, leaf: str, rate: float, decay: float) -> tuple[float, float]:
        """The factors (rate, decay) of a leaf (such as "bias") of the layer, from those that it has inside."""
        if self.leaves and leaf not in self.leaves:
            return rate, decay
        return rate * self.rate, decay if self.decay is None else self.decay
