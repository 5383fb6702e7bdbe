"""Columns, which takes some columns of x, and Concat, which puts the outputs of several layers side by side."""

from itertools import accumulate, pairwise
from typing import Any

from array_api_compat import device as device_of

from mlpcore.configuration import check_count, configuration
from mlpcore.errors import ConfigurationError
from mlpcore.layers.containers import Container, check_layer
from mlpcore.layers.parameterless import Parameterless
from mlpcore.namespace import namespace
from mlpcore.random import Stream
from mlpcore.typing import Array, Cache, Layer, Noise, Params, Training


@configuration
class Columns(Parameterless):
    """The columns from ``start`` to before ``stop``: ``y = x[:, start:stop]``; dx is dy there and 0 elsewhere."""

    start: int
    stop: int

    def __post_init__(self) -> None:
        check_count(self, least=0, start=self.start)
        check_count(self, stop=self.stop)
        if not self.start < self.stop:
            raise ConfigurationError(f"{self!r}: stop must be above start; Columns(0, 3) takes the first three columns")

    def output_width(self, n_in: int | None) -> int:
        """``stop - start``; ConfigurationError if there are fewer than ``stop`` input columns."""
        if n_in is not None and n_in < self.stop:
            raise ConfigurationError(f"{self!r}: x has {n_in} columns, expected {self.stop} or more")
        return self.stop - self.start

    def forward(self, params: Params, x: Array, training: Training | None = None) -> tuple[Array, Cache]:
        """The columns; the cache is x, of which only the shape is needed."""
        return x[..., self.start : self.stop], x

    def backward(self, params: Params, cache: Cache, dy: Array, *, need_dx: bool = True) -> tuple[Array | None, Params]:
        """dy between zeros."""
        if not need_dx:
            return None, {}
        xp, kind = namespace(dy), {"dtype": dy.dtype, "device": device_of(dy)}
        before, after = (
            xp.zeros((*dy.shape[:-1], count), **kind) for count in (self.start, cache.shape[-1] - self.stop)
        )
        return xp.concat([before, dy, after], axis=-1), {}


@configuration
class Concat(Container):
    """Layers side by side: all get x, and y holds their outputs one beside the other, in their order.

    ``dx`` is the sum of the layers' dx. With `Columns` each layer gets columns of its own::

        Concat(Sequential(Columns(0, 3), Scale(3)), Sequential(Columns(3, 5), OneHot((4, 9))))
    """

    layers: tuple[Layer, ...]

    def __init__(self, *layers: Layer) -> None:
        object.__setattr__(self, "layers", layers)
        if not layers:
            raise ConfigurationError("Concat: got no layers, expected one or more; write Concat(Identity(), Tanh())")
        for layer in layers:
            check_layer("Concat", layer, "Concat(Identity(), Tanh())")
        self.output_width(None)

    def __repr__(self) -> str:
        return f"Concat({', '.join(map(repr, self.layers))})"

    @property
    def children(self) -> tuple[Layer, ...]:
        """The layers."""
        return self.layers

    def with_children(self, children: tuple[Layer, ...]) -> "Concat":
        """A Concat of these layers."""
        return Concat(*children)

    def output_width(self, n_in: int | None) -> int | None:
        """The sum of the layers' output columns; None if that of one layer is unknown."""
        widths = [layer.output_width(n_in) for layer in self.layers]
        known = [width for width in widths if width is not None]
        return sum(known) if len(known) == len(widths) else None

    def noise(self, stream: Stream, shape: tuple[Any, ...], dtype: str) -> Noise:
        """A tuple of the layers' noise."""
        return tuple(layer.noise(stream.child(i), shape, dtype) for i, layer in enumerate(self.layers))

    def forward(self, params: Params, x: Array, training: Training | None = None) -> tuple[Array, Cache]:
        """The outputs side by side; the cache holds the layers' caches, and x for the numbers of columns."""
        outputs, caches = [], []
        for i, layer in enumerate(self.layers):
            y, cache = layer.forward(params[i], x, None if training is None else training.child(i))
            outputs.append(y)
            caches.append(cache)
        xp, stack = namespace(x), _leading(outputs)
        whole = [y if y.shape[:-2] == stack else xp.broadcast_to(y, (*stack, *y.shape[-2:])) for y in outputs]
        return xp.concat(whole, axis=-1), (*caches, x)

    def backward(self, params: Params, cache: Cache, dy: Array, *, need_dx: bool = True) -> tuple[Array | None, Params]:
        """Each layer gets the columns of dy that are its own."""
        n_in = cache[-1].shape[-1]
        widths = [layer.output_width(n_in) or 0 for layer in self.layers]
        dx, grads = None, []
        for i, (start, stop) in enumerate(pairwise(accumulate(widths, initial=0))):
            layer_dx, layer_grads = self.layers[i].backward(params[i], cache[i], dy[..., start:stop], need_dx=need_dx)
            grads.append(layer_grads)
            dx = layer_dx if dx is None else dx + layer_dx
        return dx, tuple(grads)


def _leading(outputs: list[Array]) -> tuple[int, ...]:
    """The axes before those of rows and columns to which all outputs broadcast.

    Of networks of a stack that share x, a layer without parameters gives one output for all.
    """
    axes = max(y.ndim for y in outputs) - 2
    return tuple(map(max, zip(*((*[1] * (axes + 2 - y.ndim), *y.shape[:-2]) for y in outputs), strict=True)))
