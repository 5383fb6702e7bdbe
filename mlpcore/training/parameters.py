"""Parameters on their way into a model: trees checked against the network's, and the state before the first step."""

from collections.abc import Callable
from typing import Any

import numpy as np

from mlpcore.backends.backend import Backend
from mlpcore.errors import DataError
from mlpcore.trees import Layout, named_leaves, tree_map
from mlpcore.typing import Array, Optimizer, Params, State


def matched(given: Params, own: Params, layout: Layout, convert: Callable[[Any], Array]) -> Params:
    """The tree ``given`` with converted leaves; a DataError where names or shapes are not those of the tree ``own``."""
    leaves, expected = dict(named_leaves(given)), dict(named_leaves(own))
    for name in sorted(expected.keys() | leaves.keys()):
        shapes = [tuple(np.shape(tree[name])) if name in tree else None for tree in (leaves, expected)]
        if shapes[0] != shapes[1]:
            raise DataError(f"params: {name} has shape {shapes[0]}, expected {shapes[1]}")
    return tree_map(lambda name: convert(leaves[name]), layout.template)


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
