"""The network of a fitted estimator on a backend: predicts in blocks of rows, and is pickled without its device."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
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

ROWS = 2048  # rows of one forward pass: so few that intermediate arrays stay in the cache


def tree_from(
    net: Sequential, coefs: Sequence[Array], intercepts: Sequence[Array], other_params: Sequence[Params]
) -> Params:
    """The parameter tree of a network: the arrays of its `Linear` layers, and ``other_params`` of all other layers."""
    linear, remaining = iter(zip(coefs, intercepts, strict=True)), iter(other_params)
    tree: list[Params] = []
    for layer in net.children:
        if isinstance(layer, Linear):
            weight, bias = next(linear)
            tree.append({"weight": weight, "bias": bias})
        else:
            tree.append(next(remaining))
    return tuple(tree)


def tree_parts(net: Sequential, tree: Params) -> tuple[list[Array], list[Array], list[Params]]:
    """``(coefs, intercepts, other_params)`` of a parameter tree, the inverse of `tree_from`."""
    linear = [leaf for layer, leaf in zip(net.children, tree, strict=True) if isinstance(layer, Linear)]
    other_params = [leaf for layer, leaf in zip(net.children, tree, strict=True) if not isinstance(layer, Linear)]
    return [leaf["weight"] for leaf in linear], [leaf["bias"] for leaf in linear], other_params


@dataclass(frozen=True)
class _Outputs:
    function: Callable[[Loss, Array], Tree]
    loss: Loss
    layers: Sequential

    def __call__(self, params: Params, rows: Array) -> Tree:
        return self.function(self.loss, self.layers.forward(params[: len(self.layers.children)], rows)[0])


class Predictor:
    """A network with its loss on a backend, and the functions of (parameters, rows) that were compiled for it.

    ``others`` are the parameters of layers that are not `Linear`. ``place`` names the library and device of the fit's
    rows; it is None after unpickling, as a loaded predictor always computes on NumPy.
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
        """``function(loss, scores)`` for the network's scores of x, as arrays of x's library.

        ``function`` must be the same object in every call, as compiled functions are cached by it. ``depth`` is the
        number of layers to compute, None for all.
        """
        with self.backend.scope(self.dtype):
            tree = tree_from(self.net, coefs, intercepts, self.others)
            compiled = self._function(function, depth)
            result = in_blocks(lambda block: compiled(tree, block), x, self.backend, self.dtype)
            return tree_map(lambda leaf: like(leaf, x, self.backend), result)

    def _function(self, function: Callable, depth: int | None) -> Callable:
        """The compiled function of (parameters, rows)."""
        key = (function, depth)
        if key not in self._compiled:
            layers = Sequential(*self.net.children[:depth])
            self._compiled[key] = self.backend.compile.function(_Outputs(function, self.loss, layers), self.compilation)
        return self._compiled[key]

    def on_numpy(self) -> "Predictor":
        """The same on NumPy."""
        others = on_host(tuple(self.others))
        return Predictor(self.net, self.loss, others, get_backend("numpy"), self.dtype, self.place)

    def __getstate__(self) -> dict[str, Any]:
        state = {"net": self.net, "loss": self.loss, "dtype": self.dtype}
        state |= {"compilation": replace(self.compilation, sources=[])}
        return state | {"others": on_host(tuple(self.others))}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__init__(**state, backend=get_backend("numpy"), place=None)  # type: ignore[misc]  # pickle calls no __init__


def in_blocks(function: Callable[[Array], Tree], x: Any, backend: Backend, dtype: str) -> Tree:
    """``function(rows)`` for blocks of the rows of x, concatenated; x is an array of any library, or a CSR table."""
    count = x.shape[0]
    if count <= ROWS:
        return function(rows_on_backend(x, 0, count, backend, dtype))
    blocks = [
        function(rows_on_backend(x, start, min(start + ROWS, count), backend, dtype)) for start in range(0, count, ROWS)
    ]
    return tree_map(lambda *parts: backend.xp.concat(parts, axis=0), *blocks)


def on_host(tree: Tree) -> Tree:
    """The tree with its arrays copied to NumPy."""
    return tree_map(lambda leaf: np.array(to_host(leaf)), tree)
