"""A compiled step is the eager one: for every member, of one network and of stacks of them, by every printer."""

from typing import Any, NamedTuple

import members
import numpy as np
import pytest
from cases import pairwise
from compiled import FORCED, PRINTERS, TILED, bind, program_of
from users import KeepsTheOld, Looks, Mirrors, Swaps, Turns, network

import mlpcore as mc
from mlpcore.backends import get_backend
from mlpcore.compiler.function import AbstractArray, TracedFunction
from mlpcore.compiler.graph import N
from mlpcore.compiler.tiling import DEFAULT
from mlpcore.random import Stream
from mlpcore.training.parameters import fresh_state
from mlpcore.training.rules import Rules
from mlpcore.training.step import make_step
from mlpcore.trees import Layout, leaves, tree_map
from mlpcore.typing import Batch

ROWS, WIDTH = 11, 5  # no other axis is as long as there are rows
SIZES = (ROWS, 5, ROWS, 2, 1)  # of the batches, some of fewer rows than there are tiles
MOMENTUM, NO_RULES = mc.SGD(0.1, momentum=0.9), Rules()
ALL_RULES = Rules(l2=1e-3, clip_norm=0.5, clip_value=0.4, ema=0.9)


class Form(NamedTuple):
    """One network, or so many whose parameters have a leading axis; with rows that they share or with their own."""

    stack: int | None = None
    shared: bool = True
    dtype: str = "float64"


ONE = Form()
FORMS = {
    "one": ONE,
    "one in float32": Form(dtype="float32"),
    "stack": Form(3),
    "stack in float32 on rows of their own": Form(3, False, "float32"),
}
WIDE_FORMS = [pytest.param(FORMS[name], id=name) for name in ("one", "stack")]


def batches(net: Any, case: str, form: Form, entries: bool) -> list[Batch]:
    made, arrays = [], members.entry_arrays if entries else members.loss_arrays
    for i, rows in enumerate(SIZES):
        _, target, weights = arrays(case, rows, form.dtype, seed=i)
        first = () if form.stack is None else (form.stack,)
        x = Stream(i, "x").normal((*first, rows, WIDTH)).astype(form.dtype)
        noise = net.noise(Stream(3, "noise", step=i), x.shape, form.dtype)
        made.append(Batch(x[0] if first and form.shared else x, target, weights, noise))
    return made


def assert_like_eager(
    printer: str,
    form: Form,
    net: Any,
    case: str = "SoftmaxCrossEntropy",
    optimizer: Any = MOMENTUM,
    rules: Rules = NO_RULES,
    bound: float = 1e-11,
    entries: bool = False,
) -> None:
    """In place, over full and ragged batches, with weights of rows or of ``entries``."""
    params, *_ = members.layer_arrays(net, WIDTH, ROWS, form.dtype, members=form.stack)
    layout = Layout(params if form.stack is None else tree_map(lambda leaf: leaf[0], params))
    state = fresh_state(params, layout, optimizer, get_backend("numpy"), bool(rules.ema))
    if form.stack is not None:  # a rate for each network
        state = state._replace(scale=np.linspace(0.5, 1.5, form.stack).astype(form.dtype))
    step = make_step(net, members.LOSSES[case][0], optimizer, layout, rules)
    steps, held = batches(net, case, form, entries), tree_map(np.array, state)

    def abstract(leaf: Any) -> AbstractArray:
        return AbstractArray(tuple(N if dim == ROWS else dim for dim in np.shape(leaf)), np.asarray(leaf).dtype)

    program = program_of(printer, FORCED[1] if printer == "C in tiles" and form.shared else DEFAULT)
    traced = TracedFunction(step, tree_map(abstract, (held, steps[0])), in_place=True, program=program)
    bound = bound if form.dtype == "float64" else 1e-4
    for batch in steps:
        given = dict(zip(leaves(traced.inputs), [*leaves(held), *map(np.array, leaves(batch))], strict=True))
        bound_step = bind(traced.program, batch.weights.shape[0], given, printer, 2)
        bound_step.call()
        state, losses = step(state, batch)
        assert losses.shape == (() if form.stack is None else (form.stack,))
        np.testing.assert_allclose(bound_step.output(traced.result), losses, rtol=bound, atol=bound)
    for got, right in zip(leaves(held), map(np.asarray, leaves(state)), strict=True):
        assert got.dtype == right.dtype
        scale = max(1.0, float(np.max(np.abs(right), initial=0)))
        np.testing.assert_allclose(got, right, rtol=0, atol=bound * scale)
    moved = np.any(state.params != layout.flat(params), axis=-1)
    assert moved.all()
    assert form.stack is None or len(set(state.params[:, 0])) == form.stack


@pairwise(name=members.LAYERS, printer=TILED, form=FORMS)
def test_every_layer(name: str, printer: str, form: str) -> None:
    assert_like_eager(printer, FORMS[form], network(members.LAYERS[name](4)))


@pairwise(case=members.LOSSES, printer=PRINTERS, form=WIDE_FORMS)
def test_every_loss(case: str, printer: str, form: Form) -> None:
    net = network(mc.Tanh(), outputs=members.LOSSES[case][0].outputs(3))
    assert_like_eager(printer, form, net, case, mc.SGD(0.05))


@pairwise(case=members.ENTRIES, printer=TILED, form=WIDE_FORMS)
def test_every_loss_with_weights_of_entries(case: str, printer: str, form: Form) -> None:
    net = network(mc.BatchNorm(4), outputs=members.LOSSES[case][0].outputs(3))
    assert_like_eager(printer, form, net, case, mc.SGD(0.05), ALL_RULES, entries=True)


@pairwise(printer=TILED, form=FORMS)
def test_factors_of_leaves_and_a_decay_that_changes(printer: str, form: str) -> None:
    inner = (mc.Rates(mc.Scale(4), 6.0, decay=6.0), mc.Tanh())
    net = mc.Rates(network(*inner), 0.1, decay=0.0, leaves=("bias",))
    assert_like_eager(printer, FORMS[form], net, optimizer=mc.AdamW(0.05, weight_decay=mc.CosineDecay(0.3, 4)))


@pairwise(name=members.OPTIMIZERS, printer=TILED, form=WIDE_FORMS)
def test_every_optimizer_with_all_rules(name: str, printer: str, form: Form) -> None:
    net = network(mc.GELU(), mc.Dropout(0.3))
    assert_like_eager(printer, form, net, optimizer=members.OPTIMIZERS[name], rules=ALL_RULES, bound=1e-10)


@pytest.mark.parametrize("printer", TILED)
@pytest.mark.parametrize(
    "optimizer", [KeepsTheOld(), Swaps(), Looks(), Turns(), Mirrors()], ids=lambda one: type(one).__name__
)
def test_new_state_is_written_over_the_old_only_where_nobody_reads_it_any_more(optimizer: Any, printer: str) -> None:
    assert_like_eager(printer, ONE, network(mc.ReLU()), optimizer=optimizer, bound=1e-12)
