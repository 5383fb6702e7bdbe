"""Primitives with faster bodies: the body here, in pure Array API, is the definition and runs for every library.

`mlpcore.kernels` registers faster bodies by array type; the first argument decides. A primitive enters this page only
with its first faster body, and a body only with its parity test and its benchmark.
"""

from collections.abc import Callable
from typing import Any

from mlpcore.namespace import namespace
from mlpcore.trees import tree_map
from mlpcore.typing import Array, Tree


class Primitive:
    """A function dispatched on the exact type of its first argument; ``body`` runs where no faster one is known."""

    def __init__(self, body: Callable) -> None:
        self.body = body
        self.kernels: dict[type, Callable] = {}
        self.__doc__ = body.__doc__

    def __call__(self, first: Any, *rest: Any) -> Any:
        return self.kernels.get(type(first), self.body)(first, *rest)

    def register(self, kind: type) -> Callable[[Callable], Callable]:
        """A decorator: the faster body for first arguments of type ``kind``."""
        return lambda kernel: self.kernels.setdefault(kind, kernel)


@Primitive
def affine(x: Array, weight: Array, bias: Array) -> Array:
    """``x @ weight + bias``: (..., n, in), (..., in, out), (..., out) -> (..., n, out)."""
    xp = namespace(x)
    return x @ weight + xp.expand_dims(bias, axis=-2)


@Primitive
def sweep(first: Array, owned: tuple[Array, ...], formula: Callable[..., tuple[Array, ...]]) -> tuple[Array, ...]:
    """``formula(first, *owned)``, elementwise over flat vectors (..., P); returns the new values of ``owned``.

    A faster body may go piece by piece and overwrite the ``owned`` vectors: the caller gives them up.
    """
    return formula(first, *owned)


@Primitive
def choose(ok: Array, new: Callable[[], Tree], old: Tree) -> Tree:
    """The tree ``new()`` where ``ok`` (...) holds, ``old`` elsewhere; leaves begin with the axes of ``ok``.

    A faster body may skip ``new`` where nothing is ok; ``new`` may overwrite the arrays of ``old``.
    """
    xp = namespace(ok)

    def pick(fresh: Array, kept: Array) -> Array:
        return xp.where(xp.reshape(ok, (*ok.shape, *[1] * (fresh.ndim - ok.ndim))), fresh, kept)

    return tree_map(pick, new(), old)
