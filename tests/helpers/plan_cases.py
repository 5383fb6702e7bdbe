"""Training steps and small functions whose plans are committed: see plans.py."""

from collections.abc import Callable
from itertools import pairwise
from typing import Any

import numpy as np
from compiled import network_step
from plan_functions import DROPOUT, FUNCTIONS

import mlpcore as mc
from mlpcore.compiler.function import AbstractArray, TracedFunction
from mlpcore.compiler.graph import N
from mlpcore.compiler.program import Program
from mlpcore.random import Stream
from mlpcore.training.rules import Rules
from mlpcore.trees import tree_map
from mlpcore.typing import Batch


def traced_step(net: Any, rules: Rules) -> Program:
    """A training step with softmax cross-entropy and Adam, for any number of rows."""
    step, state = network_step(net, mc.SoftmaxCrossEntropy(), mc.Adam(1e-3), "float32", rules)
    rows = 2  # any number: the first axes of a batch are traced as unknown
    x = np.zeros((rows, net.layers[0].in_features), np.float32)
    noise = net.noise(Stream(0, "noise"), x.shape, "float32")
    batch = Batch(x, np.zeros(rows, np.int64), np.ones(rows, np.float32), noise)
    known = tree_map(lambda leaf: AbstractArray(np.shape(leaf), np.asarray(leaf).dtype), state)
    symbolic = tree_map(lambda leaf: AbstractArray((N, *leaf.shape[1:]), leaf.dtype), batch)
    return TracedFunction(step, (known, symbolic), in_place=True).program


def mlp(*widths: int) -> mc.Sequential:
    """Dense layers with ReLU between them."""
    layers: list = []
    for n_in, n_out in pairwise(widths):
        layers += [mc.Linear(n_in, n_out), mc.ReLU()]
    return mc.Sequential(*layers[:-1])


def everything() -> mc.Sequential:
    """Normalisations, a branch and dropout."""
    inner = mc.Sequential(mc.LayerNorm(16), mc.Linear(16, 16), mc.GELU(), mc.Dropout(0.1))
    return mc.Sequential(mc.Linear(8, 16), mc.BatchNorm(16), mc.SiLU(), mc.Residual(inner), mc.Linear(16, 4))


CASES: dict[str, Callable[[], Program]] = {
    **{name: function.program for name, function in FUNCTIONS.items()},
    "dropout": DROPOUT.program,
    "step of 64-100-10": lambda: traced_step(mlp(64, 100, 10), Rules()),
    "step of 8-512-512-3 with l2, clipping and average": lambda: traced_step(
        mlp(8, 512, 512, 3), Rules(1e-4, 1.0, 0.5, 0.99)
    ),
    "step with normalisations, a branch and dropout": lambda: traced_step(everything(), Rules()),
}
