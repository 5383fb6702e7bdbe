"""A step never looks at the host, and does exactly as many operations as the committed table says.

``python tests/test_operations.py`` writes the table anew: a change of it is a change of speed, to be looked at.
"""

import json
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import spy

import mlpcore as mc
from mlpcore.random import Stream
from mlpcore.training.rules import Rules
from mlpcore.training.step import make_step
from mlpcore.trees import Layout, tree_map
from mlpcore.typing import Batch, State

TABLE = Path(__file__).parent / "golden" / "operations.json"


def mlp(*widths: int) -> mc.Sequential:
    layers: list = []
    for n_in, n_out in pairwise(widths):
        layers += [mc.Linear(n_in, n_out), mc.ReLU()]
    return mc.Sequential(*layers[:-1])


def everything() -> mc.Sequential:
    inner = mc.Sequential(mc.LayerNorm(16), mc.Linear(16, 16), mc.GELU(), mc.Dropout(0.1))
    return mc.Sequential(mc.Linear(8, 16), mc.BatchNorm(16), mc.SiLU(), mc.Residual(inner), mc.Linear(16, 4))


WORKLOADS = {
    "tiny 2-16-2": (mlp(2, 16, 2), 32, Rules()),
    "digits 64-100-10": (mlp(64, 100, 10), 200, Rules()),
    "tabular 32-128-128-8": (mlp(32, 128, 128, 8), 256, Rules()),
    "deep 128-6x256-10": (mlp(128, *[256] * 6, 10), 64, Rules()),
    "digits with l2, clipping and average": (mlp(64, 100, 10), 200, Rules(1e-4, 1.0, 0.5, 0.99)),
    "normalised residual network with dropout": (everything(), 32, Rules()),
}


def count(net: mc.Sequential, rows: int, rules: Rules) -> dict[str, int]:
    """Operations of one step on the spy, by name."""
    layout = Layout(net.init(Stream(0, "init"), "float32"))
    vector = layout.flat(net.init(Stream(0, "init"), "float32"))
    optimizer = mc.Adam(1e-3)
    state = State(
        params=vector,
        statistics=layout.running(net.init(Stream(0, "init"), "float32")),
        optimizer=optimizer.init(vector),
        average=() if rules.ema is None else np.zeros_like(vector),
        count=np.zeros((), np.int32),
        scale=np.ones((), np.float32),
        skipped=np.zeros((), np.int32),
    )
    rng = np.random.default_rng(0)
    x = rng.normal(size=(rows, net.layers[0].in_features)).astype(np.float32)
    noise = net.noise(Stream(0, "noise"), x.shape, "float32")
    batch = Batch(x, rng.integers(0, 2, rows), np.ones(rows, np.float32), noise)
    state, batch = (tree_map(lambda leaf: spy.NAMESPACE.asarray(np.asarray(leaf)), tree) for tree in (state, batch))
    step = make_step(net, mc.SoftmaxCrossEntropy(), optimizer, layout, rules)
    with spy.watching() as seen:
        step(state, batch)
    return dict(sorted(seen.operations.items()))


@pytest.mark.parametrize("name", WORKLOADS)
def test_operations_of_a_step(name: str) -> None:
    expected = json.loads(TABLE.read_text())
    assert set(expected) == set(WORKLOADS)
    assert count(*WORKLOADS[name]) == expected[name]


if __name__ == "__main__":
    TABLE.write_text(json.dumps({name: count(*case) for name, case in WORKLOADS.items()}, indent=1) + "\n")
