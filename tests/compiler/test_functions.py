"""Compiled functions against the same code run by NumPy: what is written over, what counts, draws; see test_steps."""

import math
from dataclasses import replace
from typing import Any

import members
import numpy as np
import pytest
from compiled import ON_DEVICES, PRINTERS, bind, call, compiled_step, network_step, program_of
from users import batches, network

import mlpcore as mc
from mlpcore.compiler.chunk import Steps
from mlpcore.compiler.draws import TracedStream, draw_factors
from mlpcore.compiler.graph import N, Untraceable
from mlpcore.compiler.program import Program
from mlpcore.compiler.trace import Tracer
from mlpcore.random import Stream
from mlpcore.training.rules import Rules
from mlpcore.trees import leaves, tree_map
from mlpcore.typing import Batch


@pytest.fixture(params=PRINTERS)
def printer(request: Any) -> str:
    """What a program is printed as."""
    return request.param


def test_an_old_value_that_a_later_loop_reads_is_not_yet_written_over(printer: str) -> None:
    tracer = Tracer()
    x = tracer.input((8,), "float64")
    new = 2.0 * x
    later = x * tracer.sum(new)
    values = np.arange(8.0)
    bound = bind(program_of(printer)(tracer, [later], [(new, x)]), 0, {x.node: values}, printer)
    bound.call()
    np.testing.assert_array_equal(values, 2 * np.arange(8.0))
    np.testing.assert_array_equal(bound.output(later.node), 56 * np.arange(8.0))


@pytest.mark.parametrize("damage", ["nothing", "NaN", "no weight"])
def test_a_step_that_does_not_count_leaves_the_state(damage: str, printer: str) -> None:
    """The branch of a condition, both sides: what is left out is not written, and the loss says what was wrong."""
    net = network(mc.ReLU())
    step, state = network_step(net, mc.SoftmaxCrossEntropy(), mc.Adam(0.01), "float64", Rules(ema=0.9))
    (batch,) = batches(net, "SoftmaxCrossEntropy", "float64", (9,), 5)
    batch = batch._replace(weights=np.ones(9))
    if damage == "NaN":
        batch.x[2, 1] = np.nan
    elif damage == "no weight":
        batch = batch._replace(weights=np.zeros(9))
    made = compiled_step(step, tree_map(np.array, state), batch, printer)
    made.bound.call()
    new, loss = step(tree_map(np.array, state), batch)
    np.testing.assert_allclose(made.bound.output(made.loss), loss, rtol=1e-12)
    for held, right in zip(leaves(made.state), leaves(new), strict=True):
        np.testing.assert_allclose(held, right, rtol=0, atol=1e-12)
    moved = not np.array_equal(made.state.params, state.params)
    assert moved == (damage == "nothing") and made.state.skipped == (damage == "NaN")


@pytest.mark.parametrize("until", [math.inf, 0.0])
@pytest.mark.parametrize("printer", [one for one in PRINTERS if one not in ON_DEVICES], indirect=True)
def test_a_walk_over_steps_is_these_steps_up_to_the_first_that_ends_too_late(until: float, printer: str) -> None:
    """Rows are gathered by the order of each step, and draws are read where they lie."""
    net = network(mc.ReLU(), mc.Dropout(0.4))
    loss, _ = members.LOSSES["SoftmaxCrossEntropy"]
    step, state = network_step(net, loss, mc.Adam(0.01), "float64", Rules())
    _, target, weights = members.loss_arrays("SoftmaxCrossEntropy", 30, "float64")
    data = (Stream(0, "x").normal((30, 5)), target, weights)
    order = np.random.default_rng(0).integers(0, 30, (4, 6))
    noises = [net.noise(Stream(3, "noise", step=i), (6, 5), "float64") for i in range(4)]
    whole = [Batch(*(part[rows] for part in data), noise) for rows, noise in zip(order, noises, strict=True)]
    made = compiled_step(step, tree_map(np.array, state), whole[0], printer)
    draws = dict(zip(leaves(made.inputs.noise), map(np.stack, zip(*map(leaves, noises), strict=True)), strict=True))
    losses, done = np.zeros(4), np.zeros(1, np.int64)
    made.bound.run_steps(Steps(data, made.inputs[:3], order, draws, made.loss, losses, done), until)
    assert done[0] == (4 if until else 1)
    for batch, found in zip(whole, losses[: done[0]], strict=False):
        state, expected = step(state, batch)
        assert found == pytest.approx(float(expected), rel=1e-12)
    for held, right in zip(leaves(made.state), leaves(state), strict=True):
        np.testing.assert_allclose(held, right, rtol=0, atol=1e-12)


def test_numbers_of_a_configuration_are_no_part_of_the_text() -> None:
    texts = set()
    for factor in (0.3, 0.7, 11.0):
        tracer = Tracer()
        x = tracer.input((N, 4), "float32")
        texts.add(Program(tracer, [factor * tracer.tanh(x) + 1.5 * factor]).source)
    assert len(texts) == 1


@pytest.mark.parametrize(
    ("function", "named"),
    [
        (lambda xp, x: [xp.asarray(1.0) if xp.sum(x) > 0 else x], "the values of an array"),
        (lambda xp, x: [xp.unique_values(x)], "the function unique_values"),
        (lambda xp, x: [x + xp.astype(x > 0, xp.int32)], "float64 and int32"),
        (lambda xp, x: [x[x > 0]], "an index"),
    ],
)
def test_what_cannot_be_traced_is_named(function: Any, named: str) -> None:
    with pytest.raises(Untraceable, match=named):
        call(function, [np.ones((3, 4))], [(N, 4)], 3)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("shape", [(1, 1), (3, 5), (4, 4), (2, 3, 7), (33, 20)])
@pytest.mark.parametrize(("step", "first"), [(0, 0), (7, 3), (2**40, 0), (7, 1000)])
def test_factors_have_the_bits_of_the_host(
    shape: tuple[int, ...], dtype: str, step: int, first: int, printer: str
) -> None:
    """Also those of the rows from place ``first`` of a batch on."""
    stream = Stream(2**63 + 5, "3.mask", member=2 if len(shape) == 2 else 0, step=step)
    position = np.array([step, first], np.uint64)

    def factors(xp: Any, position: Any) -> list[Any]:
        return [TracedStream(replace(stream, step=0), position).factors(shape, 0.7, dtype)]

    (found,) = call(factors, [position], [(2,)], 1, printer)
    *stack, rows, width = shape
    expected = stream.factors((*stack, first + rows, width), 0.7, dtype)[..., first:, :]
    np.testing.assert_array_equal(found, expected)
    other = np.empty(shape, dtype)
    draw_factors(other, np.array([*stream.key(), stream.member, round(0.7 * 65536)], np.uint64), position)
    np.testing.assert_array_equal(other, expected)


@pytest.mark.parametrize("step", [0, 6, 9])
def test_factors_of_a_rate_that_changes_have_the_bits_of_the_host(step: int, printer: str) -> None:
    layer, stream = mc.Dropout(mc.FlatCosine(0.5, 10)), Stream(3, "3", step=step)

    def factors(xp: Any, position: Any) -> list[Any]:
        return [layer.noise(TracedStream(replace(stream, step=0), position), (33, 20), "float32")]

    (found,) = call(factors, [np.array([step, 0], np.uint64)], [(2,)], 1, printer)
    expected = layer.noise(stream, (33, 20), "float32")
    np.testing.assert_array_equal(found, expected)
    kept = {0: 0.5, 6: 1 - 0.5 * np.cos(np.pi * 0.1) ** 2, 9: 1 - 0.5 * np.sin(np.pi * 0.1) ** 2}[step]
    np.testing.assert_allclose(np.max(expected), 1 / kept, rtol=1e-4)
