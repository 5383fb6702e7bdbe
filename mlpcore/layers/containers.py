"""Layers made of layers: the base classes Container and Wrapper, Sequential, and Residual."""

import dataclasses
from typing import Any

from mlpcore.configuration import configuration
from mlpcore.errors import ConfigurationError
from mlpcore.random import Stream
from mlpcore.typing import Array, Cache, Layer, Noise, Params, Training, follows, missing_members


class Container:
    """Abstract: a layer made of other layers, its children.

    Parameters, running statistics, noise and cache are tuples: an entry for each child in the order of ``children``,
    then the container's own entries, if it has any. A subclass defines ``children``, ``with_children`` and those
    methods of `mlpcore.typing.Layer` that are not defined here. A container may also be written without this class.
    """

    @property
    def children(self) -> tuple[Layer, ...]:
        """The layers that this one is made of."""
        raise NotImplementedError

    def with_children(self, children: tuple[Layer, ...]) -> Layer:
        """The same container with other layers: ``children[i]`` replaces the i-th."""
        raise NotImplementedError

    @property
    def row_independent(self) -> bool:
        """Whether every child is row-independent."""
        return all(child.row_independent for child in self.children)

    def init(self, rng: Stream, dtype: str) -> Params:
        """A tuple of the children's parameters; child i draws from ``rng.child(i)``."""
        return tuple(child.init(rng.child(i), dtype) for i, child in enumerate(self.children))

    def observe(self, params: Params, cache: Cache) -> Params:
        """A tuple of the children's running statistics, {} for a child that has none."""
        return tuple(observe(*parts) for parts in zip(self.children, params, cache, strict=False))


def children(layer: Layer) -> tuple[Layer, ...]:
    """The layers that a layer is made of, () for a leaf."""
    return getattr(layer, "children", ())


def lacks(value: object) -> str:
    """For an error message: which methods of a layer the value lacks; empty if it has all or none of them."""
    missing, all_members = missing_members(value, Layer), missing_members(None, Layer)
    return f" (it has no {', '.join(missing)})" if 0 < len(missing) < len(all_members) else ""


def check_layer(who: str, layer: object, example: str) -> None:
    """ConfigurationError unless ``layer`` is a layer; it says to write the ``example``."""
    if not follows(layer, Layer):
        raise ConfigurationError(f"{who}: {layer!r} is not a layer{lacks(layer)}; write {example}")


def last_layer(layer: Layer) -> Layer:
    """The last layer of a network: of nested Sequentials the innermost last one."""
    while isinstance(layer, Sequential) and layer.layers:
        layer = layer.layers[-1]
    return layer


@configuration
class Sequential(Container):
    """Layers one after the other: ``y = layers[-1](... layers[1](layers[0](x)))``.

    The backward pass goes through them in reverse order, by the chain rule: each turns the gradient with respect to its
    output into that with respect to its input. ConfigurationError when the network is built if a layer does not take
    the columns of the layer before it. An empty Sequential is the identity.
    """

    layers: tuple[Layer, ...]

    def __init__(self, *layers: Layer) -> None:
        object.__setattr__(self, "layers", layers)
        for layer in layers:
            check_layer("Sequential", layer, "Sequential(Linear(2, 3), ReLU())")
        self.output_width(None)

    def __repr__(self) -> str:
        return f"Sequential({', '.join(map(repr, self.layers))})"

    @property
    def children(self) -> tuple[Layer, ...]:
        """The layers."""
        return self.layers

    def with_children(self, children: tuple[Layer, ...]) -> "Sequential":
        """A Sequential of these layers."""
        return Sequential(*children)

    def output_width(self, n_in: int | None) -> int | None:
        """Columns of the last layer's output; the error names the two layers that do not fit."""
        width, source = n_in, "x"
        for i, layer in enumerate(self.layers):
            try:
                after = layer.output_width(width)
            except ConfigurationError as error:
                if source == "x":
                    raise
                raise ConfigurationError(
                    f"Sequential: {source} gives {width} columns, which layer {i} does not take: {error}"
                ) from None
            if after is not None and after != width:
                source = f"layer {i} {layer!r}"
            width = after
        return width

    def noise(self, stream: Stream, shape: tuple[Any, ...], dtype: str) -> Noise:
        """A tuple of the layers' noise."""
        noises = []
        for i, layer in enumerate(self.layers):
            noises.append(layer.noise(stream.child(i), shape, dtype))
            shape = (*shape[:-1], layer.output_width(shape[-1]))
        return tuple(noises)

    def forward(self, params: Params, x: Array, training: Training | None = None) -> tuple[Array, Cache]:
        """Each layer gets the output of the one before; the cache is the tuple of the layers' caches."""
        caches = []
        for i, layer in enumerate(self.layers):
            x, cache = layer.forward(params[i], x, None if training is None else training.child(i))
            caches.append(cache)
        return x, tuple(caches)

    def backward(self, params: Params, cache: Cache, dy: Array, *, need_dx: bool = True) -> tuple[Array | None, Params]:
        """From the last layer to the first; all but the first always compute dx."""
        grads: list[Params] = [()] * len(self.layers)
        for i in reversed(range(len(self.layers))):
            dy, grads[i] = self.layers[i].backward(params[i], cache[i], dy, need_dx=need_dx or i > 0)
        return (dy if need_dx else None), tuple(grads)


class Wrapper(Container):
    """Abstract: a container of one layer, ``layer``, that computes what this layer computes.

    A subclass is a configuration with the field ``layer``, and redefines what it does differently.
    """

    layer: Layer

    def __post_init__(self) -> None:
        who = type(self).__name__
        check_layer(who, self.layer, f"{who}(Sequential(...))")

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
class Residual(Wrapper):
    """A layer with a skip connection: ``y = x + layer(x)``, ``dx = dy + layer's dx``.

    The layer must give as many columns as it takes. Source: He, Zhang, Ren & Sun (2016), "Deep residual learning for
    image recognition", eq. 1.
    """

    layer: Layer

    def __post_init__(self) -> None:
        Wrapper.__post_init__(self)
        self.output_width(None)

    def output_width(self, n_in: int | None) -> int | None:
        """The same number of columns as the input has."""
        width = self.layer.output_width(n_in)
        if width is None:
            return None
        # A second call only for an unknown n_in: two calls at every level would be 2^depth calls for nested residuals.
        if n_in not in (None, width) or (n_in is None and self.layer.output_width(width) != width):
            raise ConfigurationError(f"{self!r}: the inner layer makes {width} columns of {n_in}, expected {n_in}")
        return width

    def forward(self, params: Params, x: Array, training: Training | None = None) -> tuple[Array, Cache]:
        """``x + layer(x)``."""
        y, cache = Wrapper.forward(self, params, x, training)
        return x + y, cache

    def backward(self, params: Params, cache: Cache, dy: Array, *, need_dx: bool = True) -> tuple[Array | None, Params]:
        """The gradient through the layer plus that through the skip connection."""
        dx, grads = Wrapper.backward(self, params, cache, dy, need_dx=need_dx)
        return (dy + dx if need_dx else None), grads


def observe(layer: Layer, params: Params, cache: Cache) -> Params:
    """The new running statistics of a layer, {} if it has none."""
    return layer.observe(params, cache) if hasattr(layer, "observe") else {}
