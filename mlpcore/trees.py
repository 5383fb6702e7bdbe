"""Trees of arrays, and the layout that makes a parameter tree a set of views into one flat vector."""

import math
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

from array_api_compat import device as device_of

from mlpcore.namespace import namespace
from mlpcore.typing import Array, Params, Tree

ALIGNMENT = 64  # elements: every leaf starts on a 256-byte boundary in float32 (vector loads, cuBLAS)


def tree_map(function: Callable[..., Any], tree: Tree, *others: Tree) -> Tree:
    """The tree of ``function(leaf, *leaves of the others)``; tuples and dicts are nodes, any other object is a leaf."""
    if isinstance(tree, dict):
        return {key: tree_map(function, tree[key], *(other[key] for other in others)) for key in tree}
    if isinstance(tree, tuple):
        children = (tree_map(function, *nodes) for nodes in zip(tree, *others, strict=True))
        return type(tree)(*children) if hasattr(tree, "_fields") else tuple(children)
    return function(tree, *others)


def tree_where(condition: Array, new: Tree, old: Tree) -> Tree:
    """``where(condition, new, old)`` for every leaf. The condition (...) has the leading axes of the leaves.

    A leaf that is the same object in both trees is returned as it is.
    """
    xp = namespace(condition)

    def choose(fresh: Array, kept: Array) -> Array:
        if fresh is kept:
            return kept
        return xp.where(xp.reshape(condition, (*condition.shape, *[1] * (fresh.ndim - condition.ndim))), fresh, kept)

    return tree_map(choose, new, old)


def named_leaves(tree: Tree, prefix: str = "") -> Iterator[tuple[str, Any]]:
    """``("2.weight", leaf)`` and so on, depth first, in the order of the tree."""
    if isinstance(tree, (dict, tuple)):
        nodes = tree.items() if isinstance(tree, dict) else enumerate(tree)
        for key, node in nodes:
            yield from named_leaves(node, f"{prefix}{key}.")
    else:
        yield prefix[:-1], tree


def leaves(tree: Tree) -> list[Any]:
    """The leaves alone, in the order of `named_leaves`."""
    if isinstance(tree, (dict, tuple)):
        return [leaf for node in (tree.values() if isinstance(tree, dict) else tree) for leaf in leaves(node)]
    return [tree]


def leaf_key(name: str) -> str:
    """The last part of a leaf's name: ``weight`` of ``2.weight``."""
    return name.rpartition(".")[2]


def is_statistic(name: str) -> bool:
    """Whether a leaf is a running statistic, which has no gradient and which no optimizer or penalty uses."""
    return leaf_key(name).startswith("running_")


class Slot(NamedTuple):
    """Where a leaf lies in the vector, and its shape without the stack's axes."""

    start: int
    shape: tuple[int, ...]

    @property
    def stop(self) -> int:
        """The end of the leaf; the padding up to the next boundary comes after it."""
        return self.start + math.prod(self.shape)


class Layout:
    """The order of the leaves in the flat vector: those named ``weight`` first, so that weight decay acts on a prefix.

    ``slots`` maps the name of a parameter to its `Slot`, ``statistics`` lists the names of the running statistics,
    ``size`` is the length of the vector and ``decayed`` that of the prefix. Padding stays zero: its gradient is zero.
    """

    def __init__(self, params: Params) -> None:
        leaves = dict(named_leaves(params))
        self.template = _names(params)
        self.statistics = tuple(name for name in leaves if is_statistic(name))
        self.slots: dict[str, Slot] = {}
        self.size = self.decayed = 0
        ordered = sorted((name for name in leaves if not is_statistic(name)), key=lambda n: leaf_key(n) != "weight")
        for name in ordered:
            self.slots[name] = slot = Slot(self.size, tuple(leaves[name].shape))
            self.size = -(-slot.stop // ALIGNMENT) * ALIGNMENT
            if leaf_key(name) == "weight":
                self.decayed = self.size

    def view(self, vector: Array, statistics: tuple[Array, ...] = ()) -> Params:
        """The parameter tree as views into ``vector`` (..., P), with the running statistics merged in."""
        leaves = self.named(vector) | dict(zip(self.statistics, statistics, strict=True))
        return tree_map(leaves.__getitem__, self.template)

    def named(self, vector: Array) -> dict[str, Array]:
        """The leaves by name, as views into ``vector`` (..., P)."""
        xp, stack = namespace(vector), tuple(vector.shape[:-1])
        return {
            name: xp.reshape(vector[..., slot.start : slot.stop], stack + slot.shape)
            for name, slot in self.slots.items()
        }

    def flat(self, tree: Params) -> Array:
        """One vector (..., P) of the leaves of a parameter or gradient tree, with zeros as padding."""
        leaves = dict(named_leaves(tree))
        if not self.slots:
            raise ValueError("a network without parameters has no vector")
        name, slot = next(iter(self.slots.items()))
        xp, stack = namespace(leaves[name]), tuple(leaves[name].shape[: leaves[name].ndim - len(slot.shape)])
        parts: list[Array] = []
        filled = 0
        for name, slot in [*self.slots.items(), ("", Slot(self.size, ()))]:
            if slot.start > filled:
                sample = parts[0]
                gap = (*stack, slot.start - filled)
                parts.append(xp.zeros(gap, dtype=sample.dtype, device=device_of(sample)))
            if name:
                parts.append(xp.reshape(leaves[name], (*stack, slot.stop - slot.start)))
                filled = slot.stop
        return xp.concat(parts, axis=-1)

    def running(self, tree: Params) -> tuple[Array, ...]:
        """The running statistics of a tree (of parameters, or from ``observe``), in the order of the layout."""
        leaves = dict(named_leaves(tree))
        return tuple(leaves[name] for name in self.statistics)


def _names(tree: Tree, prefix: str = "") -> Tree:
    """The tree with every leaf replaced by its name."""
    if isinstance(tree, dict):
        return {key: _names(node, f"{prefix}{key}.") for key, node in tree.items()}
    if isinstance(tree, tuple):
        return tuple(_names(node, f"{prefix}{i}.") for i, node in enumerate(tree))
    return prefix[:-1]
