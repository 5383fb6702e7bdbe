"""Members: several networks in one, which share the parameters of some of their layers."""

from dataclasses import replace
from typing import Any

import numpy as np

from mlpcore.configuration import check_count, configuration
from mlpcore.errors import ConfigurationError
from mlpcore.layers.containers import Container, Sequential
from mlpcore.namespace import namespace
from mlpcore.random import Stream
from mlpcore.trees import leaves, tree_map
from mlpcore.typing import Array, Cache, Layer, Noise, Params, Training


@configuration
class Members(Container):
    """``count`` networks of the same layers, one after the other as in `Sequential`; y has their outputs side by side.

    The layers whose numbers are in ``own`` have parameters for each member, with initial values of its own; their
    leaves have an axis for the members before those of the layer, (..., count, in, out) for a weight. All other layers
    have one set of parameters, whose gradients are sums over the members. The first layer must be in ``own``; those
    that all members would share at the start stand in front of Members. All must be row-independent. Shapes: x
    (..., n, in), y (..., n, count * out), member by member. TabM-mini of 32 members on 10 columns::

        Members(Scale(10, Signs()), Linear(10, 512), ReLU(), Linear(512, 1), count=32, own=(0, 3))

    `MembersLoss` is the loss for it: each member has a loss of its own, and predictions are means over the members.
    With `Scale` around every `Linear`, also in ``own``, it is a BatchEnsemble.

    Sources: Wen, Tran & Ba (2020), "BatchEnsemble: an alternative approach to efficient ensemble and lifelong
    learning"; Gorishniy, Kotelnikov & Babenko (2025), "TabM: advancing tabular deep learning with parameter-efficient
    ensembling".
    """

    layers: tuple[Layer, ...]
    count: int
    own: tuple[int, ...]

    def __init__(self, *layers: Layer, count: int, own: tuple[int, ...] = (0,)) -> None:
        for name, value in (("layers", Sequential(*layers).layers), ("count", count), ("own", own)):
            object.__setattr__(self, name, value)
        check_count(self, count=count)
        if not isinstance(own, tuple) or not {0} <= set(own) <= set(range(len(layers))):
            raise ConfigurationError(
                f"Members: own is {own!r}, expected a tuple of layer numbers below {len(layers)}, one of them 0"
            )
        for layer in layers:
            if not layer.row_independent:
                raise ConfigurationError(f"Members: {layer!r} depends on other rows, expected layers such as LayerNorm")

    def __repr__(self) -> str:
        return f"Members({', '.join(map(repr, self.layers))}, count={self.count}, own={self.own!r})"

    @property
    def children(self) -> tuple[Layer, ...]:
        """The layers."""
        return self.layers

    def with_children(self, children: tuple[Layer, ...]) -> "Members":
        """Members of these layers."""
        return Members(*children, count=self.count, own=self.own)

    def output_width(self, n_in: int | None) -> int | None:
        """``count`` times the columns of the last layer."""
        width = Sequential(*self.layers).output_width(n_in)
        return None if width is None else self.count * width

    def init(self, rng: Stream, dtype: str) -> Params:
        """A tuple of the layers' parameters, stacked for those in ``own``.

        ConfigurationError if the first layer has none, as then nothing tells the members apart.
        """
        params = []
        for i, layer in enumerate(self.layers):
            if i in self.own:
                draws = [layer.init(rng.child(i).child(j), dtype) for j in range(self.count)]
                params.append(tree_map(_stacked, *draws))
            else:
                params.append(layer.init(rng.child(i), dtype))
        if not leaves(params[0]):
            raise ConfigurationError(
                f"{self!r}: the first layer has no parameters, expected some for each member, such as those of Scale"
            )
        return tuple(params)

    def noise(self, stream: Stream, shape: tuple[Any, ...], dtype: str) -> Noise:
        """A tuple of the layers' noise (..., count, n, columns), every member with draws of its own."""
        layers = Sequential(*self.layers)
        draws = [layers.noise(stream.child(j), shape, dtype) for j in range(self.count)]
        return tree_map(lambda *arrays: namespace(arrays[0]).stack(arrays, axis=-3), *draws)

    def forward(self, params: Params, x: Array, training: Training | None = None) -> tuple[Array, Cache]:
        """Each layer gets the output of the one before; the cache is the tuple of the layers' caches."""
        xp = namespace(x)
        # In between, the first axis is that of the members: parameters without it broadcast, also those of a stack.
        # Only a layer in `own` gets the axis where its parameters have it.
        x, caches = xp.expand_dims(x, axis=0), []
        for i, layer in enumerate(self.layers):
            child = None if training is None else training.child(i)
            if i in self.own:
                y, cache = layer.forward(params[i], xp.moveaxis(x, 0, -3), child)
                x = xp.moveaxis(y, -3, 0)
            else:
                if child is not None:
                    child = child._replace(noise=tree_map(lambda leaf: xp.moveaxis(leaf, -3, 0), child.noise))
                x, cache = layer.forward(params[i], x, child)
            caches.append(cache)
        y = xp.moveaxis(x, 0, -2)
        return xp.reshape(y, (*y.shape[:-2], self.count * y.shape[-1])), tuple(caches)

    def backward(self, params: Params, cache: Cache, dy: Array, *, need_dx: bool = True) -> tuple[Array | None, Params]:
        """From the last layer to the first; dx is the sum over the members."""
        xp = namespace(dy)
        dy = xp.reshape(dy, (*dy.shape[:-1], self.count, dy.shape[-1] // self.count))
        dy, grads = xp.moveaxis(dy, -2, 0), list[Params]([()] * len(self.layers))
        for i in reversed(range(len(self.layers))):
            own, inner = i in self.own, need_dx or i > 0
            dx, grads[i] = self.layers[i].backward(
                params[i], cache[i], xp.moveaxis(dy, 0, -3) if own else dy, need_dx=inner
            )
            if not own:
                grads[i] = tree_map(lambda leaf: xp.sum(leaf, axis=0), grads[i])
            dy = xp.moveaxis(dx, -3, 0) if own and inner else dx
        return (xp.sum(dy, axis=0) if need_dx else None), tuple(grads)


def _stacked(*draws: Any) -> Any:
    """The leaves along a new first axis; of leaves without entries (see `mlpcore.layers.shapes`) only the shape."""
    if isinstance(draws[0], np.ndarray):
        return np.stack(draws)
    return replace(draws[0], shape=(len(draws), *draws[0].shape))
