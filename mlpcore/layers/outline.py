"""The shapes of a network's parameters without their numbers: nothing is drawn, nothing large allocated."""

import dataclasses
import math
from typing import Any

from mlpcore.layers import LAYERS, Residual, Sequential
from mlpcore.random import Stream
from mlpcore.typing import Layer, Params


@dataclasses.dataclass(frozen=True)
class Leaf:
    """An array's shape in the place of the array."""

    shape: tuple[int, ...]

    @property
    def size(self) -> int:
        """How many numbers the array would hold."""
        return math.prod(self.shape)

    def astype(self, dtype: str) -> "Leaf":
        """Itself: there is nothing to convert."""
        return self


def children(layer: Layer) -> tuple[Layer, ...]:
    """The layers in one of mlpcore's containers, () for any other layer."""
    if isinstance(layer, Sequential):
        return layer.layers
    return (layer.layer,) if isinstance(layer, Residual) else ()


def outline(layer: Layer, dtype: str) -> Params:
    """The tree that ``layer.init`` gives, with a `Leaf` for every weight that an initializer would make.

    Ones and zeros of a normalisation are made (they are one row wide), and a layer from outside mlpcore is asked for
    its parameters as they are.
    """
    if isinstance(layer, (Sequential, Residual)):
        return tuple(outline(child, dtype) for child in children(layer))
    if type(layer) in LAYERS:
        rules = {name for name, value in _fields(layer) if callable(value)}
        layer = dataclasses.replace(layer, **dict.fromkeys(rules, _shape_only))  # type: ignore[type-var]  # a protocol
    return layer.init(Stream(0), dtype)


def _fields(layer: Any) -> list[tuple[str, Any]]:
    return [(field.name, getattr(layer, field.name)) for field in dataclasses.fields(layer)]


def _shape_only(rng: Stream, shape: tuple[int, ...], fans: tuple[int, int]) -> Leaf:
    """In the place of an initializer."""
    return Leaf(tuple(shape))
