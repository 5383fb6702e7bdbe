"""Checks of parameter trees and snapshots against a network, and the arrays of a state by name."""

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from mlpcore.backends.backend import Backend
from mlpcore.errors import DataError
from mlpcore.namespace import namespace
from mlpcore.training.reading import read_array
from mlpcore.trees import Layout, named_leaves, tree_map
from mlpcore.typing import Array, Optimizer, Params, State, Tree

_KINDS = "a layer's parameters are a dict, a container's a tuple of its layers', as in model.params"


def matched(given: Params, own: Params, layout: Layout, convert: Callable[[Any], Array]) -> Params:
    """The tree ``given`` with leaves converted by ``convert``; ``own`` is the tree of the network.

    DataError unless names and shapes are those of ``own`` and all numbers are finite.
    """
    expected = {name: tuple(leaf.shape) for name, leaf in named_leaves(own)}
    leaves = dict(named_leaves(given))
    for name in sorted(expected.keys() - leaves.keys()):
        raise DataError(f"params: {name} is missing, expected shape {expected[name]}; {_KINDS}")
    for name in sorted(leaves.keys() - expected.keys()):
        raise DataError(f"params: {name} is not in the network, expected {', '.join(expected)}; {_KINDS}")

    def checked(name: str) -> Array:
        leaf, _ = read_array(f"params: {name}", leaves[name])
        if tuple(leaf.shape) != expected[name]:
            raise DataError(f"params: {name} has shape {tuple(leaf.shape)}, expected {expected[name]}")
        converted = convert(leaf)
        if not bool(namespace(converted).all(namespace(converted).isfinite(converted))):
            raise DataError(f"params: {name} has NaN or infinity as {converted.dtype}, expected finite numbers")
        return converted

    return tree_map(checked, layout.template)


def fresh_state(tree: Params, layout: Layout, optimizer: Optimizer, backend: Backend, average: bool) -> State:
    """The state before the first step on the backend, with the host parameters ``tree``."""
    vector = backend.asarray(layout.flat(tree))
    xp = backend.xp
    count = xp.zeros_like(vector[..., 0], dtype=xp.int32)
    return State(
        params=vector,
        statistics=tuple(backend.asarray(leaf) for leaf in layout.running(tree)),
        optimizer=optimizer.init(vector),
        average=vector + 0 if average else (),
        count=count,
        scale=xp.ones_like(vector[..., 0]),
        skipped=count,
    )


def named_state(state: State, layout: Layout) -> Iterator[tuple[str, Array]]:
    """The arrays of a state by name, such as ``optimizer.first_moment.2.weight``; leaves of flat vectors are views."""
    names = _names(state)._replace(statistics=tuple(f"statistics.{name}" for name in layout.statistics))
    leaves = [leaf for _, leaf in named_leaves(state)]
    for (_, name), leaf in zip(named_leaves(names), leaves, strict=True):
        if leaf.shape == state.params.shape and not name.startswith("statistics."):
            yield from ((f"{name}.{part}", view) for part, view in layout.named(leaf).items())
        else:
            yield name, leaf


def _names(node: Tree, prefix: str = "") -> Any:
    """The tree with every leaf replaced by its name, which contains the field names of named tuples."""
    if not isinstance(node, tuple):
        return prefix[:-1]
    fields = getattr(node, "_fields", range(len(node)))
    parts = [_names(part, f"{prefix}{field}.") for field, part in zip(fields, node, strict=True)]
    return type(node)(*parts) if hasattr(node, "_fields") else tuple(parts)


def predicting(state: State) -> State:
    """The state reduced to parameters, running statistics and the average; fields that only training needs are ()."""
    return state._replace(optimizer=(), count=(), scale=(), skipped=())


def with_snapshot(state: State, snapshot: Any, layout: Layout, convert: Callable[[Any], Array]) -> State:
    """The state with parameters, running statistics and average from a snapshot; DataError if it does not fit.

    ``convert`` copies an array to the backend.
    """
    if not isinstance(snapshot, Mapping):
        raise DataError(f"restore: the snapshot is of type {type(snapshot).__name__}, expected what snapshot() gives")
    own = dict(named_state(predicting(state), layout))
    for name in sorted(own.keys() | snapshot.keys()):
        got, expected = (tuple(tree[name].shape) if name in tree else None for tree in (snapshot, own))
        if got != expected:
            raise DataError(f"restore: {name} has shape {got} in the snapshot, expected {expected} as in this model")
    placed = {name: convert(snapshot[name]) for name in own}

    def vector(field: str) -> Array:
        return layout.flat({name: placed[f"{field}.{name}"] for name in layout.slots})

    return state._replace(
        params=vector("params"),
        average=() if isinstance(state.average, tuple) else vector("average"),
        statistics=tuple(placed[f"statistics.{name}"] for name in layout.statistics),
    )
