"""Steps of stacks of networks (leading axes on all parameters), compiled and as NumPy calls, against the eager step."""

from typing import Any

import members
import numpy as np
import pytest
from compiled import PRINTERS, bind, program_of
from users import network

import mlpcore as mc
from mlpcore.backends import get_backend
from mlpcore.compiler.function import AbstractArray, TracedFunction
from mlpcore.compiler.graph import N
from mlpcore.random import Stream
from mlpcore.training.parameters import fresh_state
from mlpcore.training.rules import Rules
from mlpcore.training.step import make_step
from mlpcore.trees import Layout, leaves, tree_map
from mlpcore.typing import Batch

STACK, ROWS, WIDTH = 3, 11, 5  # no other axis is as long as there are rows
MOMENTUM, NO_RULES = mc.SGD(0.1, momentum=0.9), Rules()
ALL_RULES = Rules(l2=1e-3, clip_norm=0.5, clip_value=0.4, ema=0.9)


@pytest.fixture(params=PRINTERS)
def printer(request: Any) -> str:
    """What a program is printed as."""
    return request.param


def batches(net: Any, case: str, dtype: str, shared: bool) -> list[Batch]:
    """Two full ones and a ragged one, of rows that all networks share or of rows for each."""
    made = []
    for i, rows in enumerate((ROWS, ROWS, 4)):
        _, target, weights = members.loss_arrays(case, rows, dtype, seed=i)
        x = Stream(i, "x").normal((STACK, rows, WIDTH)).astype(dtype)
        noise = net.noise(Stream(3, "noise", step=i), x.shape, dtype)
        made.append(Batch(x[0] if shared else x, target, weights, noise))
    return made


def assert_like_eager(
    printer: str,
    net: Any,
    case: str = "SoftmaxCrossEntropy",
    optimizer: Any = MOMENTUM,
    dtype: str = "float64",
    rules: Rules = NO_RULES,
    shared: bool = True,
) -> None:
    params, *_ = members.layer_arrays(net, WIDTH, ROWS, dtype, members=STACK)
    layout = Layout(tree_map(lambda leaf: leaf[0], params))
    state = fresh_state(params, layout, optimizer, get_backend("numpy"), bool(rules.ema))
    state = state._replace(scale=np.linspace(0.5, 1.5, STACK).astype(dtype))  # a rate for each network
    step = make_step(net, members.LOSSES[case][0], optimizer, layout, rules)
    steps, held = batches(net, case, dtype, shared), tree_map(np.array, state)

    def abstract(leaf: Any) -> AbstractArray:
        return AbstractArray(tuple(N if dim == ROWS else dim for dim in leaf.shape), leaf.dtype)

    traced = TracedFunction(step, tree_map(abstract, (held, steps[0])), in_place=True, program=program_of(printer))
    bound = 1e-10 if dtype == "float64" else 1e-4
    for batch in steps:
        given = dict(zip(leaves(traced.inputs), [*leaves(held), *map(np.array, leaves(batch))], strict=True))
        bound_step = bind(traced.program, batch.weights.shape[0], given, printer, 2)
        bound_step.call()
        state, losses = step(state, batch)
        assert losses.shape == (STACK,)
        np.testing.assert_allclose(bound_step.output(traced.result), losses, rtol=bound, atol=bound)
    for got, right in zip(leaves(held), leaves(state), strict=True):
        assert got.dtype == right.dtype
        scale = max(1.0, float(np.max(np.abs(right), initial=0)))
        np.testing.assert_allclose(got, right, rtol=0, atol=bound * scale)
    moved = np.any(state.params != layout.flat(params), axis=-1)
    assert moved.all() and len(set(state.params[:, 0])) == STACK


@pytest.mark.parametrize("shared", [True, False], ids=["the same rows", "own rows"])
@pytest.mark.parametrize("name", members.LAYERS)
def test_every_layer(name: str, shared: bool, printer: str) -> None:
    assert_like_eager(printer, network(members.LAYERS[name](4)), shared=shared)


@pytest.mark.parametrize("name", ["BatchNorm", "nested", "Softmax"])
def test_single_precision(name: str, printer: str) -> None:
    assert_like_eager(printer, network(members.LAYERS[name](4)), dtype="float32")


@pytest.mark.parametrize("case", members.LOSSES)
def test_every_loss(case: str, printer: str) -> None:
    net = network(mc.Tanh(), outputs=members.LOSSES[case][0].outputs(3))
    assert_like_eager(printer, net, case, mc.SGD(0.05))


@pytest.mark.parametrize("name", members.OPTIMIZERS)
def test_every_optimizer_with_all_rules(name: str, printer: str) -> None:
    net = network(mc.GELU(), mc.Dropout(0.3))
    assert_like_eager(printer, net, optimizer=members.OPTIMIZERS[name], rules=ALL_RULES)
