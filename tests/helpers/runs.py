"""Every member as a function of arrays, with arrays to run it on: what laws about whole passes go through."""

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
from compiled import network_step
from members import LAYERS, LOSSES, SCHEDULES, UPDATES, layer_arrays, loss_arrays

import mlpcore as mc
from mlpcore.compiler.function import AbstractArray, TracedFunction
from mlpcore.compiler.graph import N, Untraceable
from mlpcore.layers.containers import observe
from mlpcore.random import Stream
from mlpcore.schedules.rate import rate_at
from mlpcore.training.gradients import InputGradient
from mlpcore.training.rules import Rules
from mlpcore.trees import tree_map
from mlpcore.typing import Batch

ROWS = 11  # no other axis of these arrays is as long
Run = tuple[Callable[..., Any], tuple[Any, ...]]  # a function of trees of arrays, and host arrays for it


def layer_run(case: str, dtype: str, stack: int | None) -> Run:
    """Training pass, backward pass, statistics, prediction."""
    layer = LAYERS[case](4)

    def function(params: Any, x: Any, training: Any, dy: Any) -> Any:
        y, cache = layer.forward(params, x, training)
        dx, grads = layer.backward(params, cache, dy)
        return y, dx, grads, observe(layer, params, cache), layer.forward(params, x)[0]

    return function, layer_arrays(layer, 4, ROWS, dtype, members=stack)


def input_gradient_run(case: str, dtype: str, stack: int | None) -> Run:
    """The derivatives of a score by x, a score of its own for each row."""
    layer = LAYERS[case](4)
    params, x, _, _ = layer_arrays(layer, 4, ROWS, dtype, members=stack)
    numbers = np.arange(ROWS, dtype=dtype)[:, None] % layer.output_width(4)
    rows = np.concatenate([x, np.broadcast_to(numbers, (*x.shape[:-1], 1))], axis=-1)
    return lambda params, rows: (InputGradient(layer)(params, rows),), (params, rows)


def loss_run(case: str, dtype: str, stack: int | None) -> Run:
    """Value, weight, gradient."""
    z, target, weights = loss_arrays(case, ROWS, dtype)
    return LOSSES[case][0].value_and_grad, (z if stack is None else np.stack([z, -z] * stack)[:stack], target, weights)


def link_run(case: str, dtype: str, stack: int | None) -> Run:
    """Predictions from raw scores."""
    loss, _ = LOSSES[case]
    _, (z, *_) = loss_run(case, dtype, stack)
    return lambda z: (loss.predict(z),), (z,)


def optimizer_run(case: str, dtype: str, stack: int | None) -> Run:
    """Seven updates from the first state on."""
    optimizer, stream, first = UPDATES[case], Stream(0), () if stack is None else (stack,)

    def function(params: Any, grads: Any, count: Any) -> Any:
        state = optimizer.init(params)
        for i in range(7):
            params, state = optimizer.update(grads[i, ...], state, params, rate_at(optimizer.learning_rate, count))
        return params, state

    grads = stream.child("grads").normal((7, *first, 5)).astype(dtype)
    return function, (stream.child("params").normal((*first, 5)).astype(dtype), grads, np.full(first, 4, dtype=dtype))


def schedule_run(case: str, dtype: str, stack: int | None) -> Run:
    """The rates of the first updates."""
    counts = np.arange(12, dtype=dtype)
    return lambda count: (rate_at(SCHEDULES[case], count),), (counts if stack is None else np.stack([counts] * stack),)


def step_run(rules: Rules, dtype: str, stack: int | None = None) -> Run:
    """One training step."""
    inner = mc.Sequential(mc.LayerNorm(4), mc.Linear(4, 4), mc.GELU(), mc.Dropout(0.1))
    net = mc.Sequential(mc.Linear(5, 4), mc.BatchNorm(4), mc.SiLU(), mc.Residual(inner), mc.Linear(4, 3))
    step, state = network_step(net, mc.SoftmaxCrossEntropy(), mc.AdamW(mc.WarmUp(0.1, 3)), dtype, rules)
    _, target, weights = loss_arrays("SoftmaxCrossEntropy", ROWS, dtype)
    x = Stream(0, "x").normal((ROWS, 5)).astype(dtype)
    return step, (state, Batch(x, target, weights, net.noise(Stream(0, "noise"), x.shape, dtype)))


RUNS: dict[str, Callable[[str, int | None], Run]] = {
    **{f"layer {case}": partial(layer_run, case) for case in LAYERS},
    **{f"input gradient of {case}": partial(input_gradient_run, case) for case in ("nested", "nested with BatchNorm")},
    **{f"loss {case}": partial(loss_run, case) for case in LOSSES},
    **{f"predictions under {case}": partial(link_run, case) for case in LOSSES},
    **{f"optimizer {case}": partial(optimizer_run, case) for case in UPDATES},
    **{f"schedule {case}": partial(schedule_run, case) for case in SCHEDULES},
}
STEPS: dict[str, Callable[[str], Run]] = {
    "step": partial(step_run, Rules()),
    "step with all rules": partial(step_run, Rules(1e-4, 1.0, 0.5, 0.99)),
}


def trace(member: str, function: Callable[..., Any], arguments: tuple[Any, ...]) -> TracedFunction:
    """The function traced for arrays like these, axes of length `ROWS` being the number of rows.

    Errors: AssertionError with the name of the member and of what stands in the way.
    """

    def abstract(leaf: Any) -> AbstractArray:
        shape = tuple(N if dim == ROWS else dim for dim in np.shape(leaf))
        return AbstractArray(shape, np.asarray(leaf).dtype)

    try:
        return TracedFunction(function, tree_map(abstract, arguments))
    except (Untraceable, AttributeError) as error:  # the latter for a method that the standard lacks
        raise AssertionError(f"{member} cannot be traced: {error}") from error
