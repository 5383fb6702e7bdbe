"""Primitives with faster bodies: the body here, in pure Array API, is the definition and runs for every library.

`mlpcore.kernels` registers faster bodies by array type; the first argument decides. No layer, loss, optimizer or step
calls them: they hold the CUDA kernels until the compiler prints its own.
"""

from collections.abc import Callable
from typing import Any

from array_api_compat import device as device_of

from mlpcore import numerics
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
        """The fastest body there is for ``first``."""
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


@Primitive
def cellwise(first: Array, others: tuple[Tree, ...], formula: Callable[..., Tree]) -> Tree:
    """``formula(first, *others)``, elementwise over arrays that broadcast together, alone or in trees; a tree.

    A faster body may make one kernel of the formula, which it then runs on symbols in the place of arrays.
    """
    return formula(first, *others)


@Primitive
def shrink(vector: Array, length: int, factor: Array) -> Array:
    """The vector (..., P) with its first ``length`` entries multiplied by ``factor`` (...).

    A faster body may overwrite the vector: the caller gives it up.
    """
    return namespace(vector).concat([factor[..., None] * vector[..., :length], vector[..., length:]], axis=-1)


@Primitive
def softmax_cross_entropy(z: Array, target: Array, weights: Array, smoothing: float) -> tuple[Array, Array]:
    """``sum_i w_i loss_i`` (...) and ``w (softmax(z) - t)`` for ``loss = -sum_j t_j log softmax(z)_j``.

    z (..., n, c), weights (n,), and the target as class labels (n,) or probabilities (n, c), mixed with the uniform
    distribution: ``t = (1 - smoothing) target + smoothing / c``. A row of weight 0 takes no part.
    """
    xp = namespace(z)
    classes = z.shape[-1]
    if target.ndim == 1:
        labels = xp.arange(classes, dtype=target.dtype, device=device_of(z))
        target = xp.astype(xp.expand_dims(target, axis=-1) == labels, z.dtype)
    if smoothing:
        target = (1 - smoothing) * target + smoothing / classes
    logs = numerics.log_softmax(z)
    cells = target * logs
    if not smoothing:  # a finite score may be so far below the largest that its logarithm is infinite
        cells = xp.where((target == 0) & xp.isfinite(z), 0.0, cells)
    return numerics.weigh(weights, -xp.sum(cells, axis=-1), xp.exp(logs) - target)


@Primitive
def column_sum(x: Array) -> Array:
    """The sum of the rows: (..., n, c) -> (..., c)."""
    return namespace(x).sum(x, axis=-2)


@Primitive
def largest(x: Array, axis: int = -1) -> Array:
    """``max(|x|)`` over an axis, NaN where there is one: (..., P) -> (...)."""
    xp = namespace(x)
    return xp.max(xp.abs(x), axis=axis)
