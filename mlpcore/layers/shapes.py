"""The shapes of a network's parameters, and the columns that its layers take in. Nothing is drawn or allocated."""

import dataclasses
import math
from typing import Any

from mlpcore.layers import LAYERS
from mlpcore.layers.containers import children
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


def parameter_shapes(layer: Layer, dtype: str) -> Params:
    """The tree that ``layer.init`` gives, with a `Leaf` for every weight that an initializer would make.

    Ones and zeros of a normalisation are made (they are one row wide), and so are the parameters of layers that are
    not mlpcore's own, as their initializers are not known.
    """
    shapes: Params = _without_draws(layer).init(Stream(0), dtype)
    return shapes


def _without_draws(layer: Any) -> Any:
    """The layer with `_shape_only` in the place of every initializer."""
    if parts := children(layer):
        return layer.with_children(tuple(map(_without_draws, parts)))
    if type(layer) not in LAYERS:
        return layer
    names = [field.name for field in dataclasses.fields(layer) if callable(getattr(layer, field.name))]
    return dataclasses.replace(layer, **dict.fromkeys(names, _shape_only)) if names else layer


def _shape_only(rng: Stream, shape: tuple[int, ...], fans: tuple[int, int]) -> Leaf:
    """In the place of an initializer."""
    return Leaf(tuple(shape))


def child_widths(layer: Any, n_in: int | None) -> tuple[int | None, ...]:
    """The columns that each child of a layer takes in where the layer takes in ``n_in``; None where that is not known.

    They are those that the layer's own ``output_width`` asks its children about; of a child that it does not ask they
    are unknown.
    """
    probes = tuple(map(_WidthProbe, children(layer)))
    if probes:
        layer.with_children(probes).output_width(n_in)
    return tuple(probe.n_in for probe in probes)


class _WidthProbe:
    """A layer in the place of another, which notes how many columns it was last asked about."""

    row_independent = True

    def __init__(self, layer: Layer) -> None:
        self.layer = layer
        self.n_in: int | None = None

    def output_width(self, n_in: int | None) -> int | None:
        """The columns that the layer gives."""
        self.n_in = n_in
        return self.layer.output_width(n_in)

    def _refuse(self, *_: Any, **__: Any) -> Any:
        raise TypeError("a layer that only tells widths")

    init = noise = forward = backward = _refuse
