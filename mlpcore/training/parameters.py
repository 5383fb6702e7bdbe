"""Parameters on their way into a model: trees checked against the network's, and the state before the first step."""

from collections.abc import Callable
from typing import Any

from mlpcore.backends.backend import Backend
from mlpcore.errors import DataError
from mlpcore.namespace import namespace
from mlpcore.training.data import as_array
from mlpcore.trees import Layout, named_leaves, tree_map
from mlpcore.typing import Array, Optimizer, Params, State

_KINDS = "a layer's parameters are a dict, a container's a tuple of its layers', as in model.params"


def matched(given: Params, own: Params, layout: Layout, convert: Callable[[Any], Array]) -> Params:
    """The tree ``given`` with converted leaves, which are finite and have the names and shapes of those of ``own``.

    Anything else is a DataError; no leaf that was given is part of the result if ``convert`` copies.
    """
    expected = {name: tuple(leaf.shape) for name, leaf in named_leaves(own)}
    leaves = dict(named_leaves(given))
    for name in sorted(expected.keys() - leaves.keys()):
        raise DataError(f"params: {name} is missing, expected shape {expected[name]}; {_KINDS}")
    for name in sorted(leaves.keys() - expected.keys()):
        raise DataError(f"params: {name} is not in the network, expected {', '.join(expected)}; {_KINDS}")

    def checked(name: str) -> Array:
        leaf = as_array(f"params: {name}", leaves[name])
        if tuple(leaf.shape) != expected[name]:
            raise DataError(f"params: {name} has shape {tuple(leaf.shape)}, expected {expected[name]}")
        made = convert(leaf)
        if not bool(namespace(made).all(namespace(made).isfinite(made))):
            raise DataError(f"params: {name} has NaN or infinity as {made.dtype}, expected finite numbers")
        return made

    return tree_map(checked, layout.template)


def fresh_state(tree: Params, layout: Layout, optimizer: Optimizer, backend: Backend, average: bool) -> State:
    """The state on the backend before the first step, with these host parameters."""
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
