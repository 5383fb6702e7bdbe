"""A chunk of steps as one compiled program of JAX: a scan over the rows that each step takes."""

import operator
import sys
from collections.abc import Callable
from functools import cache, partial
from typing import Any

import numpy as np

from mlpcore.backends import split_vector
from mlpcore.backends.ahead import NOISE_BYTES
from mlpcore.backends.backend import ChunkError, Run, run_eagerly
from mlpcore.backends.compilation import Compilation
from mlpcore.backends.split_vector import SplitVector
from mlpcore.backends.streaming import pieces
from mlpcore.trees import Layout, leaves, tree_map
from mlpcore.typing import Array, Batch, State, Step


def scanned(
    jax: Any, asarray: Callable[..., Array], step: Step, layout: Layout, compilation: Compilation | None = None
) -> Run:
    """``run(state, data, order, draw)`` as `run_eagerly` defines it, compiled once for every shape of its arguments.

    The chunk first runs without the finite check, with its vectors split into leaves; if any step was not to be done
    (something was not finite, or the batch weighs nothing) it runs again with the check. So the state is not donated;
    what is donated are split vectors and buffers of our own, because fresh memory costs a page fault for every 4096
    bytes.
    """

    compilation = compilation or Compilation()
    if compilation.asked is False:
        return run_eagerly(jax.numpy, asarray)(step, layout, compilation)
    compilation.set("JAX", "under its own compiler")
    _register(jax)

    def scan(advance: Callable, state: State, data: tuple, order: Array, noise: Any) -> tuple[State, Array]:
        def body(state: State, step_inputs: tuple) -> tuple[State, Array]:
            rows, draws = step_inputs
            # Rows are in range by construction, so nothing needs to be filled in for those outside.
            x, target, *weights = (jax.numpy.take(part, rows, axis=0, mode="clip") for part in data)
            return advance(state, Batch(x, target, *(weights or [jax.numpy.ones(rows.shape, x.dtype)]), draws))

        return jax.lax.scan(body, state, (order, noise))

    @jax.jit
    def guarded(*arguments: Any) -> tuple[State, Array]:
        return scan(step, *arguments)

    @partial(jax.jit, donate_argnums=0)
    def optimistic(vectors: list[SplitVector], state: State, *arguments: Any) -> tuple[State, Array, Array]:
        def advance(state: State, batch: Batch) -> tuple[State, Array]:
            new, ok, loss = step.propose(state, batch, flat=partial(split_vector.flat, layout))
            # A step that is not to be done is known by its loss alone; else the count of those skipped stays.
            return new._replace(skipped=state.skipped), jax.numpy.where(ok, loss, jax.numpy.nan)

        state, losses = scan(advance, split_vector.with_vectors(layout, state, vectors), *arguments)
        return state, losses, jax.numpy.all(jax.numpy.isfinite(losses))

    split = jax.jit(lambda vectors: [split_vector.split(layout, vector) for vector in vectors])

    @partial(jax.jit, donate_argnums=0)
    def join(buffers: list[Array], vectors: list[SplitVector]) -> list[Array]:
        def fill(buffer: Array, vector: SplitVector) -> Array:
            for part, slot in zip(vector.parts, vector.slots, strict=True):
                buffer = jax.lax.dynamic_update_slice_in_dim(buffer, part, slot.start, axis=-1)
            return buffer

        return list(map(fill, buffers, vectors))

    splits = True  # whether the step works on split vectors, as far as is known
    last: list[Array] = []  # the vectors of the state that the last chunk returned
    last_split: list[SplitVector] = []  # the same, split
    buffers: list[Array] = []  # vectors of the state before it, whose memory is used again where nobody holds them
    ones: Array | None = None  # the row weights that were last seen to be all 1

    def chunk(state: State, *arguments: Any) -> tuple[State, Array]:
        nonlocal splits, last, last_split, buffers
        if not splits:
            return guarded(state, *arguments)
        vectors = split_vector.vectors(layout, state)
        ours = len(last_split) == len(vectors) and all(map(operator.is_, vectors, last))
        try:
            donated, last_split, free, buffers = last_split if ours else split(vectors), [], buffers, []
            new, losses, ok = optimistic(donated, state, *arguments)
            if not bool(ok):
                return guarded(state, *arguments)
            last_split = split_vector.vectors(layout, new)
            free = free if free and _held_once(free) else list(map(jax.numpy.zeros_like, vectors))
            joined = join(free, last_split)
        except Exception:  # whatever is wrong with the step shows when it runs with the check
            splits = False
            return guarded(state, *arguments)
        last, buffers = joined, vectors if ours else []
        return split_vector.with_vectors(layout, new, joined), losses

    def run(state: State, data: tuple, order: np.ndarray, draw: Callable[[int], Any]) -> tuple[State, Array]:
        nonlocal ones
        if data[2] is not ones and bool(jax.numpy.all(data[2] == 1)):
            ones = data[2]
        data = data[:2] if data[2] is ones else data  # without weights: the program then has a constant in their place
        noise_bytes = sum(leaf.nbytes for leaf in leaves(draw(0)))
        losses: list[Array] = []
        done = 0
        try:
            for start, stop in pieces(order.shape[0], noise_bytes, NOISE_BYTES):
                draws = [draw(i) for i in range(start, stop)] if noise_bytes else [draw(0)]
                noise = tree_map(lambda *leaves: asarray(np.stack(leaves)), *draws)
                rows = order[start:stop].astype(np.int32)
                # An error on the device is raised here, before the new state is taken.
                state, some = jax.block_until_ready(chunk(state, data, rows, noise))
                losses.append(some)
                done += rows.shape[0]
            return state, losses[0] if len(losses) == 1 else jax.numpy.concatenate(losses)
        except BaseException as error:
            # The memory of the first state may have been used for a later one.
            raise ChunkError(state, done) from error

    return run


def _held_once(arrays: list[Array]) -> bool:
    """Whether these arrays are in this list alone: another thread, or a caller, may hold a state of two chunks ago."""
    return all(sys.getrefcount(arrays[i]) <= 2 for i in range(len(arrays)))  # the list, and the argument


@cache
def _register(jax: Any) -> None:
    """Let JAX see the arrays within a `SplitVector`."""
    jax.tree_util.register_pytree_node(
        SplitVector, lambda vector: (vector.parts, vector.slots), lambda slots, parts: SplitVector(parts, slots)
    )
