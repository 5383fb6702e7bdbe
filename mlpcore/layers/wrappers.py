"""Layers around one other layer: their base class Wrapper, and Rates, which changes how fast its layer learns."""

import dataclasses
from typing import Any

from mlpcore.configuration import check_number, configuration
from mlpcore.errors import ConfigurationError
from mlpcore.layers.containers import Container, lacks
from mlpcore.random import Stream
from mlpcore.typing import Array, Cache, Layer, Noise, Params, Training, follows


class Wrapper(Container):
    """Abstract: a container of one layer, ``layer``, that computes what this layer computes.

    A subclass is a configuration with the field ``layer``, and redefines what it does differently.
    """

    layer: Layer

    def __post_init__(self) -> None:
        if not follows(self.layer, Layer):
            raise ConfigurationError(
                f"{type(self).__name__}: {self.layer!r} is not a layer{lacks(self.layer)}; "
                f"write {type(self).__name__}(Sequential(...))"
            )

    @property
    def children(self) -> tuple[Layer, ...]:
        """A tuple of one: the inner layer."""
        return (self.layer,)

    def with_children(self, children: tuple[Layer, ...]) -> Layer:
        """The same around another layer."""
        changed: Layer = dataclasses.replace(self, layer=children[0])  # type: ignore[type-var]  # a configuration
        return changed

    def output_width(self, n_in: int | None) -> int | None:
        """That of the inner layer."""
        return self.layer.output_width(n_in)

    def noise(self, stream: Stream, shape: tuple[Any, ...], dtype: str) -> Noise:
        """A tuple of one: the inner layer's noise."""
        return (self.layer.noise(stream.child(0), shape, dtype),)

    def forward(self, params: Params, x: Array, training: Training | None = None) -> tuple[Array, Cache]:
        """The inner layer's output, and a tuple of one: its cache."""
        y, cache = self.layer.forward(params[0], x, None if training is None else training.child(0))
        return y, (cache,)

    def backward(self, params: Params, cache: Cache, dy: Array, *, need_dx: bool = True) -> tuple[Array | None, Params]:
        """The inner layer's gradients."""
        dx, grads = self.layer.backward(params[0], cache[0], dy, need_dx=need_dx)
        return dx, (grads,)


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
