"""Functions compiled by `mlpcore.compiler`, for tests: trace, build, call."""

import shutil
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest

from mlpcore.compiler import blas
from mlpcore.compiler.graph import N, RowsNeeded
from mlpcore.compiler.program import Bound, Program
from mlpcore.compiler.trace import Tracer
from mlpcore.random import Stream
from mlpcore.training.step import Rules, make_step
from mlpcore.trees import Layout, leaves, tree_map
from mlpcore.typing import Batch, State

needs_compiler = pytest.mark.skipif(
    shutil.which("cc") is None or blas.find() is None, reason="no C compiler, or no BLAS that could be found"
)


def call(function: Callable, arrays: Sequence[np.ndarray], shapes: Sequence[tuple], rows: int) -> list[np.ndarray]:
    """``function(xp, *arrays)`` compiled; ``N`` in the shapes stands for the number of rows."""
    tracer = Tracer()
    inputs = [tracer.input(shape, array.dtype) for shape, array in zip(shapes, arrays, strict=True)]
    outputs = function(tracer, *inputs)
    program = Program(tracer, inputs, outputs)
    given = {one.node: np.array(array, order="C") for one, array in zip(inputs, arrays, strict=True)}
    bound = Bound(program, rows, given, blas.find())
    bound.step(*bound.words)
    return [bound.output(one.node).copy() for one in outputs]


def first_state(net: Any, optimizer: Any, dtype: str, rules: Rules) -> tuple[Layout, State]:
    """Layout and state before the first step."""
    params = net.init(Stream(0, "init"), dtype)
    layout = Layout(params)
    vector, zero = layout.flat(params), np.zeros((), np.int32)
    average = np.zeros_like(vector) if rules.ema else ()
    return layout, State(
        vector, layout.running(params), optimizer.init(vector), average, zero, np.ones((), dtype), zero.copy()
    )


def steps(
    net: Any, loss: Any, optimizer: Any, batches: Sequence[Batch], dtype: str, rules: Rules
) -> tuple[list[np.ndarray], list[np.ndarray], list[float], list[float]]:
    """State leaves and losses after the batches: compiled, state written over in place, and eager."""
    layout, state = first_state(net, optimizer, dtype, rules)
    step = make_step(net, loss, optimizer, layout, rules)
    held = tree_map(np.array, state)

    def build(batch: Batch, rows: Any) -> tuple[Bound, Any, Any]:
        tracer = Tracer()
        old = tree_map(lambda leaf: tracer.input(np.shape(leaf), np.asarray(leaf).dtype), state)
        inputs = tree_map(lambda leaf: tracer.input((rows, *leaf.shape[1:]), leaf.dtype), batch)
        new, objective = step(old, inputs)
        pairs = list(zip(leaves(new), leaves(old), strict=True))
        program = Program(tracer, [*leaves(old), *leaves(inputs)], [objective], pairs)
        places = tree_map(np.array, batch)
        nodes = [one.node for one in (*leaves(old), *leaves(inputs))]
        given = dict(zip(nodes, [*leaves(held), *leaves(places)], strict=True))
        return Bound(program, batch.x.shape[0], given, blas.find()), places, objective

    bound: dict[int, tuple[Bound, Any, Any]] = {}
    compiled_losses, eager_losses = [], []
    for batch in batches:
        rows = batch.x.shape[0]
        if rows not in bound:
            try:
                bound[rows] = build(batch, N)
            except RowsNeeded:
                bound[rows] = build(batch, rows)
        ready, places, objective = bound[rows]
        for place, leaf in zip(leaves(places), leaves(batch), strict=True):
            place[...] = leaf
        ready.step(*ready.words)
        compiled_losses.append(float(ready.output(objective.node)))
        state, loss_here = step(tree_map(np.array, state), batch)
        eager_losses.append(float(loss_here))
    return leaves(held), [np.asarray(leaf) for leaf in leaves(state)], compiled_losses, eager_losses
