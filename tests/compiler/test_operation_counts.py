"""What a training step costs, read off its graph and its schedule: exactly what the committed table says.

``PYTHONPATH=tests/helpers python tests/compiler/test_operation_counts.py`` writes the table anew: a change of it is a
change of speed, to be looked at.
"""

import json
from collections import Counter
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from compiled import network_step

import mlpcore as mc
from mlpcore.compiler.function import AbstractArray, TracedFunction
from mlpcore.compiler.graph import N, same_shape
from mlpcore.compiler.schedule import Loop
from mlpcore.random import Stream
from mlpcore.training.rules import Rules
from mlpcore.trees import tree_map
from mlpcore.typing import Batch

TABLE = Path(__file__).parents[1] / "golden" / "operations.json"


def mlp(*widths: int) -> mc.Sequential:
    layers: list = []
    for n_in, n_out in pairwise(widths):
        layers += [mc.Linear(n_in, n_out), mc.ReLU()]
    return mc.Sequential(*layers[:-1])


def everything() -> mc.Sequential:
    inner = mc.Sequential(mc.LayerNorm(16), mc.Linear(16, 16), mc.GELU(), mc.Dropout(0.1))
    return mc.Sequential(mc.Linear(8, 16), mc.BatchNorm(16), mc.SiLU(), mc.Residual(inner), mc.Linear(16, 4))


WORKLOADS = {
    "tiny 2-16-2": (mlp(2, 16, 2), Rules()),
    "digits 64-100-10": (mlp(64, 100, 10), Rules()),
    "tabular 32-128-128-8": (mlp(32, 128, 128, 8), Rules()),
    "deep 128-6x256-10": (mlp(128, *[256] * 6, 10), Rules()),
    "digits with l2, clipping and average": (mlp(64, 100, 10), Rules(1e-4, 1.0, 0.5, 0.99)),
    "normalised residual network with dropout": (everything(), Rules()),
}


def count(net: mc.Sequential, rules: Rules) -> dict[str, Any]:
    """Loops, products, passes over the vector of parameters, arrays written, and operations of a step by name."""
    step, state = network_step(net, mc.SoftmaxCrossEntropy(), mc.Adam(1e-3), "float32", rules)
    rows = 2  # any number: the first axes of a batch are traced as unknown
    x = np.zeros((rows, net.layers[0].in_features), np.float32)
    noise = net.noise(Stream(0, "noise"), x.shape, "float32")
    batch = Batch(x, np.zeros(rows, np.int64), np.ones(rows, np.float32), noise)
    known = tree_map(lambda leaf: AbstractArray(np.shape(leaf), np.asarray(leaf).dtype), state)
    symbolic = tree_map(lambda leaf: AbstractArray((N, *leaf.shape[1:]), leaf.dtype), batch)
    program = TracedFunction(step, (known, symbolic), in_place=True).program
    loops = [item for item in program.schedule.items if isinstance(item, Loop)]
    nodes = program.tracer.graph.needed()
    return {
        "loops": len(loops),
        "products": sum(node.kind == "matmul" for node in nodes),
        "loops over the vector": sum(same_shape(loop.axes, state.params.shape) for loop in loops),
        "arrays written": sum(node.kind not in ("input", "constant") for node in program.storage.stored),
        "operations": dict(sorted(Counter(node.name for node in nodes if node.kind != "input").items())),
    }


@pytest.mark.parametrize("name", WORKLOADS)
def test_operations_of_a_step(name: str) -> None:
    expected = json.loads(TABLE.read_text())
    assert set(expected) == set(WORKLOADS)
    assert count(*WORKLOADS[name]) == expected[name]


if __name__ == "__main__":
    TABLE.write_text(json.dumps({name: count(*case) for name, case in WORKLOADS.items()}, indent=1) + "\n")
