"""gcc, clang and zig give the same bits. `.ci/full` has them all; here each that the machine has is compared."""

import os
import shlex
from collections.abc import Callable
from importlib.util import find_spec

import members
import numpy as np
import pytest
from compiled import compiled_step, needs_compiler, network_step
from graphs import compiled, random_graph

import mlpcore as mc
from mlpcore.compiler import build, program
from mlpcore.random import Stream
from mlpcore.training.step import Rules
from mlpcore.trees import leaves, tree_map
from mlpcore.typing import Batch

pytestmark = needs_compiler


def graphs(first: int) -> list[np.ndarray]:
    """What ten random graphs compute."""
    return [
        values for results in compiled([random_graph(first + i, 17) for i in range(10)], 17, "C") for values in results
    ]


def training(dtype: str) -> list[np.ndarray]:
    """The state after some steps of a network with normalization, dropout, and activations that need exp and tanh."""
    inner = [mc.Linear(6, 33), mc.LayerNorm(33), mc.GELU(), mc.Linear(33, 20), mc.Tanh(), mc.Dropout(0.3), mc.SiLU()]
    net = mc.Sequential(*inner, mc.Linear(20, 3))
    rules = Rules(l2=1e-3, clip_norm=0.5, ema=0.9)
    step, state = network_step(net, mc.SoftmaxCrossEntropy(), mc.Adam(0.01), dtype, rules)
    _, target, weights = members.loss_arrays("SoftmaxCrossEntropy", 37, dtype)
    x = Stream(0, "x").normal((37, 6)).astype(dtype)
    batch = Batch(x, target, weights, net.noise(Stream(3, "noise"), x.shape, dtype))
    compiled = compiled_step(step, tree_map(np.array, state), batch, "C")
    for _ in range(20):
        compiled.bound.call()
    return [compiled.bound.output(compiled.loss).copy(), *leaves(compiled.state)]


CASES: dict[str, Callable[[], list[np.ndarray]]] = {
    "graphs": lambda: [values for first in range(0, 100, 10) for values in graphs(first)],
    "training in float32": lambda: training("float32"),
    "training in float64": lambda: training("float64"),
}


def bits(values: np.ndarray) -> bytes:
    """The bytes, but all NaN alike: which of two a sum passes on is the compiler's choice."""
    if values.dtype.kind == "f":
        values = np.where(np.isnan(values), np.array(np.nan, values.dtype), values)
    return values.tobytes()


@pytest.mark.long
@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("name", ["gcc", "clang", "zig"])
def test_another_compiler_gives_the_same_bits(name: str, case: str, monkeypatch: pytest.MonkeyPatch) -> None:
    usual = build.find_compiler()
    with monkeypatch.context() as patch:
        patch.delenv("CC", raising=False)
        if name != "zig":
            patch.setattr(build, "NAMES", (name,))
            patch.setattr(build, "find_spec", lambda package: None)
        elif find_spec("ziglang"):
            patch.setenv("PATH", "")
        build._find.cache_clear()
        other = build.find_compiler()
    build._find.cache_clear()
    assert usual is not None
    if other is None or (name == "zig") != (other.name == "zig"):
        pytest.skip(f"there is no {name}")
    if os.path.realpath(other.command[0]) == os.path.realpath(usual.command[0]):
        pytest.skip(f"{name} is the compiler that the others are compared with")
    results = []
    for compiler in (usual, other):
        monkeypatch.setenv("CC", shlex.join(compiler.command))
        program.library.cache_clear()
        results.append(CASES[case]())
    program.library.cache_clear()
    for found, expected in zip(*results, strict=True):
        assert found.shape == expected.shape and bits(found) == bits(expected)
