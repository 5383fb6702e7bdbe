"""A network, an optimizer and rules with the training step that they make, states and batches."""

from typing import Any

import array_api_strict
import numpy as np

import mlpcore as mc
from mlpcore.random import Stream
from mlpcore.training.rules import Rules
from mlpcore.training.step import make_step
from mlpcore.trees import Layout, named_leaves, tree_map
from mlpcore.typing import Batch, State

HALF, NONE = mc.HalfSquaredError(), Rules()
WEIGHTS = np.array([0.5, 0.0, 2.0, 1.0, 1.5])


class Lab:
    """A network's layout, a first state and batches, on NumPy or array-api-strict."""

    def __init__(self, net: Any, optimizer: Any, rules: Rules = NONE, loss: Any = HALF, strict: bool = False):
        self.net, self.strict = net, strict
        self.layout = Layout(net.init(Stream(0), "float64"))
        self.step = make_step(net, loss, optimizer, self.layout, rules)
        self.optimizer, self.rules = optimizer, rules

    def put(self, tree: Any) -> Any:
        """A copy of the tree's leaves in the library."""
        return tree_map(lambda leaf: array_api_strict.asarray(np.array(leaf)) if self.strict else np.array(leaf), tree)

    def state(self, seed: int = 0, members: int | None = None) -> State:
        """Weights off their initial ones; with ``members`` a stack of networks of seeds ``seed``, ``seed + 1``, ..."""
        if members is not None:
            one_by_one = [tree_map(np.asarray, self.state(seed + j)) for j in range(members)]
            return self.put(tree_map(lambda *leaves: np.stack(leaves), *one_by_one))
        tree = self.net.init(Stream(seed, "init"), "float64")
        moved = {name: leaf + 0.1 * Stream(seed, name).normal(leaf.shape) for name, leaf in named_leaves(tree)}
        vector = self.layout.flat(tree_map(moved.__getitem__, self.layout.template))
        running = tuple(np.abs(moved[name]) for name in self.layout.statistics)
        count = np.zeros((), np.int32)
        average = () if self.rules.ema is None else vector.copy()
        return self.put(State(vector, running, self.optimizer.init(vector), average, count, np.ones(()), count))

    def batch(self, i: int = 0, weights: Any = WEIGHTS, **changes: Any) -> Batch:
        """Five rows and their noise, other ones for every i."""
        x, target = Stream(i, "x").normal((5, 3)), Stream(i, "target").normal((5, 2))
        noise = self.net.noise(Stream(0, "noise", step=i), (5, 3), "float64")
        return self.put(Batch(x, target, np.asarray(weights), noise)._replace(**changes))

    def parts(self, vector: Any) -> dict[str, np.ndarray]:
        return dict(named_leaves(self.layout.view(np.asarray(vector), (0,) * len(self.layout.statistics))))


def host(tree: Any) -> dict[str, np.ndarray]:
    return {name: np.array(leaf) for name, leaf in named_leaves(tree)}


def assert_same_bits(got: Any, expected: Any) -> None:
    left, right = host(got), host(expected)
    assert left.keys() == right.keys()
    for name in left:
        np.testing.assert_array_equal(left[name], right[name], err_msg=name)
