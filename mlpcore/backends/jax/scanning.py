"""A chunk of steps as one compiled program of JAX: a scan over the rows that each step takes."""

from collections.abc import Callable
from functools import cache, partial
from typing import Any

import numpy as np

from mlpcore.backends.chunks import draw_chunks, joined
from mlpcore.backends.compilation import Compilation
from mlpcore.backends.jax import split_vector
from mlpcore.backends.jax.bfloat16 import with_bfloat16_products
from mlpcore.backends.jax.split_vector import SplitVector, map_vectors
from mlpcore.backends.run import Data, Draw, Progress, Run, collect, run_eagerly
from mlpcore.signals import from_a_handler
from mlpcore.trees import Layout
from mlpcore.typing import Array, Batch, State, Step


def scanned(
    jax: Any, asarray: Callable[..., Array], step: Step, layout: Layout, compilation: Compilation | None = None
) -> Run:
    """``run(state, data, order, draw)`` as `run_eagerly` defines it, compiled once for every shape of its arguments.

    The chunk first runs without the finite check, with its vectors split into leaves. If a step should have been
    skipped (a number was not finite, or all rows of the batch weigh 0), the chunk runs again with the check. For that
    the state must be kept, so its buffers are not donated to XLA. If all rows weigh 1, the program has a constant in
    place of the weights.
    """

    compilation = compilation or Compilation()
    if compilation.asked is False:
        return run_eagerly(jax.numpy, asarray)(in_precision(jax, step, compilation), layout, compilation)
    compilation.set("JAX", "under its own compiler")
    _register(jax)
    jnp = jax.numpy

    def compiled(function: Callable) -> Callable:
        return jax.jit(in_precision(jax, function, compilation))

    def scan(advance: Callable, state: State, data: Data, order: Array, draws: Any) -> tuple[State, Array]:
        def body(state: State, step_inputs: tuple) -> tuple[State, Array]:
            rows, draws = step_inputs
            # Row numbers are always in range; mode="clip" spares JAX the code for those that are not.
            x, target, *weights = (jnp.take(part, rows, axis=0, mode="clip") for part in data)
            return advance(state, Batch(x, target, weights[0] if weights else jnp.ones(rows.shape, x.dtype), *draws))

        return jax.lax.scan(body, state, (order, draws))

    @compiled
    def guarded(*arguments: Any) -> tuple[State, Array]:
        return scan(step, *arguments)

    def join(vector: SplitVector) -> Array:
        """The whole vector, written part by part: XLA may take ten times as long for a concatenation."""
        whole = jnp.zeros((*vector.shape[:-1], layout.size), vector.dtype)
        for part, slot in zip(vector.parts, vector.slots, strict=True):
            whole = jax.lax.dynamic_update_slice_in_dim(whole, part, slot.start, axis=-1)
        return whole

    @compiled
    def optimistic(state: State, *arguments: Any) -> tuple[State, Array]:
        def advance(state: State, batch: Batch) -> tuple[State, Array]:
            new, ok, loss = step.propose(state, batch, flat=partial(split_vector.flat, layout))
            # A loss of NaN tells that the step should have been skipped. If there is none, no step was.
            return new._replace(skipped=state.skipped), jnp.where(ok, loss, jnp.nan)

        state, losses = scan(advance, map_vectors(partial(split_vector.split, layout), layout, state), *arguments)
        return map_vectors(join, layout, state), losses

    splits = True  # False once the step has failed with split vectors
    ones: Array | None = None  # the row weights that were last seen to be all 1

    def chunk(state: State, *arguments: Any) -> tuple[State, Array]:
        nonlocal splits
        if splits:
            try:
                new, losses = optimistic(state, *arguments)
                if np.all(np.isfinite(losses)):
                    return new, losses
            except Exception as error:  # an error of the step itself is raised again by the run with the check
                if from_a_handler(error):
                    raise
                splits = False
        return guarded(state, *arguments)

    def run(state: State, data: Data, order: np.ndarray, draw: Draw) -> tuple[State, Array]:
        nonlocal ones
        if data[2] is ones or bool(jnp.all(data[2] == 1)):
            ones, data = data[2], data[:2]

        def progress(state: State) -> Progress:
            for steps, drawn in draw_chunks(order.shape[0], draw, asarray):
                rows = order[steps].astype(np.int32)
                # Waits for the device, so that its errors are raised before the old state is replaced.
                state, losses = jax.block_until_ready(chunk(state, data, rows, drawn))
                yield state, losses, rows.shape[0]

        return collect(state, progress(state), joined(jnp.concatenate))

    return run


def in_precision(jax: Any, function: Callable, compilation: Compilation | None) -> Callable:
    """The function, with bfloat16 products if that is the precision; TF32 is set by a switch of JAX instead."""
    rounds = compilation is not None and compilation.precision == "bfloat16"
    return with_bfloat16_products(jax, function) if rounds else function


@cache
def _register(jax: Any) -> None:
    """Let JAX see the arrays within a `SplitVector`."""
    jax.tree_util.register_pytree_node(
        SplitVector, lambda vector: (vector.parts, vector.slots), lambda slots, parts: SplitVector(parts, slots)
    )
