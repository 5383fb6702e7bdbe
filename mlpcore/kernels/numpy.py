"""NumPy bodies: in place where the memory is ours, and in pieces that stay in the cache."""

from collections.abc import Callable

import numpy as np

from mlpcore import ops
from mlpcore.namespace import namespace
from mlpcore.trees import tree_map
from mlpcore.typing import Tree

CHUNK = 32 * 1024  # elements: the pieces of four float32 vectors and their temporaries fit a second-level cache


@ops.affine.register(np.ndarray)
def affine(x: np.ndarray, weight: np.ndarray, bias: np.ndarray) -> np.ndarray:
    """The product, with the bias added into it."""
    y = x @ weight
    y += np.expand_dims(bias, -2)
    return y


@ops.largest.register(np.ndarray)
def largest(x: np.ndarray) -> np.ndarray:
    """The larger of the two extremes: two readings cost less than one, a writing and another."""
    xp = namespace(x)
    return xp.maximum(xp.max(x, axis=-1), -xp.min(x, axis=-1))


@ops.sweep.register(np.ndarray)
def sweep(first: np.ndarray, owned: tuple[np.ndarray, ...], formula: Callable) -> tuple[np.ndarray, ...]:
    """Piece by piece into the owned vectors: one pass over memory instead of one for every operation."""
    size = first.shape[-1]
    for start in range(0, size, CHUNK):
        piece = np.s_[..., start : min(start + CHUNK, size)]
        for vector, value in zip(owned, formula(first[piece], *(v[piece] for v in owned)), strict=True):
            vector[piece] = value
    return owned


def choose(ok: np.ndarray | np.bool_, new: Callable[[], Tree], old: Tree) -> Tree:
    """The host may look: ``new`` alone where all is ok, nothing where nothing is."""
    if np.all(ok):
        return new()
    if not np.any(ok):
        return old
    kept = tree_map(np.copy, old)  # ``new`` may overwrite the arrays of ``old``
    return ops.choose.body(ok, new, kept)


ops.choose.register(np.ndarray)(choose)
ops.choose.register(np.bool_)(choose)
