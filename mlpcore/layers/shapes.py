"""What is known of a network without its numbers: the shapes of its parameters, and the columns that reach its layers.

Nothing is drawn and nothing large is allocated.
"""

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
    return _without_draws(layer).init(Stream(0), dtype)


def _without_draws(layer: Any) -> Layer:
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
    """How many columns reach each child of a layer that ``n_in`` columns reach; None where that is not known.

    They are what the layer's own ``widths`` asks its children about. A child that it does not ask counts as unknown.
    """
    probes = tuple(map(_WidthProbe, children(layer)))
    if probes:
        layer.with_children(probes).widths(n_in)
    return tuple(probe.n_in for probe in probes)


class _WidthProbe:
    """A layer in the place of another, which notes how many columns it was last asked about."""

    row_independent = True

    def __init__(self, layer: Layer) -> None:
        self.layer = layer
        self.n_in: int | None = None

    def widths(self, n_in: int | None) -> int | None:
        """The columns that the layer gives."""
        self.n_in = n_in
        return self.layer.widths(n_in)

    def _refuse(self, *_: Any, **__: Any) -> Any:
        raise TypeError("a layer that only tells widths")

    init = noise = forward = backward = _refuse
