"""Shapes of a network's parameters and numbers of its layers' input columns, without drawing initial weights."""

import dataclasses
import math
from typing import Any

from mlpcore.layers import LAYERS
from mlpcore.layers.containers import children
from mlpcore.random import Stream
from mlpcore.typing import Layer, Params


@dataclasses.dataclass(frozen=True)
class Leaf:
    """Stands for an array of which only the shape is known."""

    shape: tuple[int, ...]

    @property
    def size(self) -> int:
        """How many numbers the array would hold."""
        return math.prod(self.shape)

    def astype(self, dtype: str) -> "Leaf":
        """Itself: there is nothing to convert."""
        return self


def parameter_shapes(layer: Layer, dtype: str) -> Params:
    """The tree that ``layer.init`` gives, with a `Leaf` for every array that an initializer would make.

    Arrays are made for the ones and zeros of normalisation layers, and for all parameters of layers that are not
    mlpcore's own, as their initializers are not known.
    """
    shapes: Params = _without_draws(layer).init(Stream(0), dtype)
    return shapes


def _without_draws(layer: Any) -> Any:
    """The layer, and the layers in it, with `_shape_only` as every initializer."""
    if parts := children(layer):
        return layer.with_children(tuple(map(_without_draws, parts)))
    if type(layer) not in LAYERS:
        return layer
    names = [field.name for field in dataclasses.fields(layer) if callable(getattr(layer, field.name))]
    return dataclasses.replace(layer, **dict.fromkeys(names, _shape_only)) if names else layer


def _shape_only(rng: Stream, shape: tuple[int, ...], fans: tuple[int, int]) -> Leaf:
    """An initializer that only keeps the shape."""
    return Leaf(tuple(shape))


def child_widths(layer: Any, n_in: int | None) -> tuple[int | None, ...]:
    """The number of input columns of each child of a layer with ``n_in`` input columns; None where it is unknown.

    It is the number with which the layer's ``output_width`` calls that of the child, unknown without such a call.
    """
    probes = tuple(map(_WidthProbe, children(layer)))
    if probes:
        layer.with_children(probes).output_width(n_in)
    return tuple(probe.n_in for probe in probes)


class _WidthProbe:
    """Stands for a layer, and keeps the argument of the last call of ``output_width``."""

    row_independent = True

    def __init__(self, layer: Layer) -> None:
        self.layer = layer
        self.n_in: int | None = None

    def output_width(self, n_in: int | None) -> int | None:
        """The result of the layer's own ``output_width``."""
        self.n_in = n_in
        return self.layer.output_width(n_in)

    def _refuse(self, *_: Any, **__: Any) -> Any:
        raise TypeError("output_width may only call output_width of the children")

    init = noise = forward = backward = _refuse
