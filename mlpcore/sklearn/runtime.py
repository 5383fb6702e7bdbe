"""What a fitted estimator computes with: its network on a backend, asked block by block; pickled without a device."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from mlpcore.backends import get_backend
from mlpcore.backends.backend import Backend
from mlpcore.backends.compilation import Compilation
from mlpcore.backends.transfer import like, to_host
from mlpcore.layers import Linear, Sequential
from mlpcore.sklearn.sparse import rows_on_backend
from mlpcore.trees import tree_map
from mlpcore.typing import Array, Loss, Params, Tree

ROWS = 2048  # a forward pass at a time: what it makes stays in the cache


def tree_from(net: Sequential, coefs: Sequence[Array], intercepts: Sequence[Array], others: Sequence[Params]) -> Params:
    """The parameter tree of a network whose `Linear` layers have these arrays; ``others`` are those of all others."""
    linear, rest = iter(zip(coefs, intercepts, strict=True)), iter(others)
    made: list[Params] = []
    for layer in net.children:
        if isinstance(layer, Linear):
            weight, bias = next(linear)
            made.append({"weight": weight, "bias": bias})
        else:
            made.append(next(rest))
    return tuple(made)


def tree_parts(net: Sequential, tree: Params) -> tuple[list[Array], list[Array], list[Params]]:
    """``(coefs, intercepts, others)`` of a tree, what `tree_from` takes."""
    linear = [own for layer, own in zip(net.children, tree, strict=True) if isinstance(layer, Linear)]
    others = [own for layer, own in zip(net.children, tree, strict=True) if not isinstance(layer, Linear)]
    return [own["weight"] for own in linear], [own["bias"] for own in linear], others


class Runtime:
    """A network with its loss on a backend, and the functions of (parameters, rows) that were compiled for it.

    ``others`` are the parameters of layers that are not `Linear`; ``place`` names library and device of the rows of
    the fit, None after a pickle: a loaded runtime computes on NumPy, whatever the machine that wrote it had.
    """

    def __init__(
        self,
        net: Sequential,
        loss: Loss,
        others: Sequence[Params],
        backend: Backend,
        dtype: str,
        place: tuple[str, str] | None,
        compilation: Compilation | None = None,
    ) -> None:
        self.net, self.loss, self.others, self.backend, self.dtype = net, loss, list(others), backend, dtype
        self.place, self.compilation = place, compilation or Compilation()
        self._compiled: dict[Any, Callable] = {}

    def __call__(
        self,
        function: Callable[[Loss, Array], Tree],
        coefs: Sequence[Array],
        intercepts: Sequence[Array],
        x: Any,
        depth: int | None = None,
    ) -> Tree:
        """``function(loss, scores)`` of the network's scores for x, in x's library.

        ``function`` is one of a module, not made anew for every call; ``depth`` is the number of layers to go through,
        None for all.
        """
        with self.backend.scope(self.dtype):
            tree = tree_from(self.net, coefs, intercepts, self.others)
            compiled = self._function(function, depth)
            made = in_blocks(lambda block: compiled(tree, block), x, self.backend, self.dtype)
            return tree_map(lambda leaf: like(leaf, x, self.backend), made)

    def _function(self, function: Callable, depth: int | None) -> Callable:
        """The compiled function of (parameters, rows)."""
        key = (function, depth)
        if key not in self._compiled:
            part = Sequential(*self.net.children[:depth])
            self._compiled[key] = self.backend.compile.function(
                lambda params, rows: function(self.loss, part.forward(params[: len(part.children)], rows)[0]),
                self.compilation,
            )
        return self._compiled[key]

    def __getstate__(self) -> dict[str, Any]:
        named = {"net": self.net, "loss": self.loss, "dtype": self.dtype}
        named |= {"compilation": replace(self.compilation, sources=[])}
        return named | {"others": on_host(tuple(self.others))}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__init__(**state, backend=get_backend("numpy"), place=None)  # type: ignore[misc]  # as pickle finds it: bare


def in_blocks(function: Callable[[Array], Tree], x: Any, backend: Backend, dtype: str) -> Tree:
    """``function(rows)`` of the rows of x, some at a time: x is an array of any library, or a CSR table."""
    count = x.shape[0]
    if count <= ROWS:
        return function(rows_on_backend(x, 0, count, backend, dtype))
    made = [
        function(rows_on_backend(x, start, min(start + ROWS, count), backend, dtype)) for start in range(0, count, ROWS)
    ]
    return tree_map(lambda *parts: backend.xp.concat(parts, axis=0), *made)


def on_host(tree: Tree) -> Tree:
    """The tree with NumPy arrays in the place of those of any device."""
    return tree_map(lambda leaf: np.array(to_host(leaf)), tree)
