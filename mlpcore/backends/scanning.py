"""A chunk of steps as one compiled program of JAX: a scan over the rows that each step takes."""

import operator
import sys
from collections.abc import Callable
from functools import cache, partial
from typing import Any

import numpy as np

from mlpcore.backends import pieces
from mlpcore.backends.ahead import NOISE_BYTES
from mlpcore.backends.backend import ChunkError, Run, run_eagerly
from mlpcore.backends.compilation import Compilation
from mlpcore.backends.streaming import pieces as cuts
from mlpcore.trees import Layout, leaves, tree_map
from mlpcore.typing import Array, Batch, State, Step


def scanned(
    jax: Any, asarray: Callable[..., Array], step: Step, layout: Layout, compilation: Compilation | None = None
) -> Run:
    """``run(state, data, order, draw)`` as `run_eagerly` defines it, compiled once for every shape of its arguments.

    A chunk is first run in hope: as if no step could fail, with its vectors in pieces. One in which a step was not to
    be done, because something was not finite or the batch weighs nothing, is run again with care. So the state is not
    donated; what is, are pieces and vectors of our own, because fresh memory costs a page fault for every 4096 bytes.
    """

    if compilation is not None and compilation.asked is False:
        return run_eagerly(jax.numpy, asarray)(step, layout, compilation)
    if compilation is not None:
        compilation.set("JAX", "under its own compiler")
    _register(jax)

    def scan(advance: Callable, state: State, data: tuple, order: Array, noise: Any) -> tuple[State, Any]:
        def body(state: State, now: tuple) -> tuple[State, Any]:
            rows, draws = now
            # Rows are in range by construction, so nothing needs to be filled in for those outside.
            x, target, weights = (jax.numpy.take(part, rows, axis=0, mode="clip") for part in data)
            return advance(state, Batch(x, target, weights, draws))

        return jax.lax.scan(body, state, (order, noise))

    @jax.jit
    def careful(*arguments: Any) -> tuple[State, Array]:
        return scan(step, *arguments)

    @partial(jax.jit, donate_argnums=0)
    def hopeful(cut: list[Any], state: State, *arguments: Any) -> tuple[State, Array, Array]:
        def advance(state: State, batch: Batch) -> tuple[State, tuple]:
            conditions = []

            def new_anyway(ok: Array, new: Callable[[], State], old: State) -> State:
                conditions.append(ok)
                return new()

            state, loss = step(state, batch, flat=partial(pieces.flat, layout), choose=new_anyway)
            return state, (loss, *conditions)

        state, (losses, ok) = scan(advance, pieces.placed(layout, state, cut), *arguments)
        return state, losses, jax.numpy.all(ok)

    cut = jax.jit(lambda vectors: [pieces.cut(layout, vector) for vector in vectors])

    @partial(jax.jit, donate_argnums=0)
    def joined(room: list[Array], parts: list[Any]) -> list[Array]:
        def join(vector: Array, cut: Any) -> Array:
            for part, slot in zip(cut.parts, cut.slots, strict=True):
                vector = jax.lax.dynamic_update_slice_in_dim(vector, part, slot.start, axis=-1)
            return vector

        return list(map(join, room, parts))

    hope = True
    given: list[Array] = []  # the vectors of the state that the last chunk gave
    parts: list[Any] = []  # the same in pieces
    spare: list[Array] = []  # vectors of the state before it, whose memory is used again where nobody holds them

    def chunk(state: State, *arguments: Any) -> tuple[State, Array]:
        nonlocal hope, given, parts, spare
        if not hope:
            return careful(state, *arguments)
        vectors = pieces.vectors(layout, state)
        ours = len(parts) == len(vectors) and all(map(operator.is_, vectors, given))
        try:
            now, parts, room, spare = parts if ours else cut(vectors), [], spare, []
            made, losses, ok = hopeful(now, state, *arguments)
            if not bool(ok):
                return careful(state, *arguments)
            parts = pieces.vectors(layout, made)
            new = joined(room if room and _held_once(room) else list(map(jax.numpy.zeros_like, vectors)), parts)
        except Exception:  # whatever is wrong with the step shows when it is run with care
            hope = False
            return careful(state, *arguments)
        given, spare = new, vectors if ours else []
        return pieces.placed(layout, made, new), losses

    def run(state: State, data: tuple, order: np.ndarray, draw: Callable[[int], Any]) -> tuple[State, Array]:
        each = sum(leaf.nbytes for leaf in leaves(draw(0)))
        losses: list[Array] = []
        done = 0
        try:
            for start, stop in cuts(order.shape[0], each, NOISE_BYTES):
                draws = [draw(i) for i in range(start, stop)] if each else [draw(0)]
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
    """Let JAX see the arrays within `Pieces`."""
    jax.tree_util.register_pytree_node(
        pieces.Pieces, lambda vector: (vector.parts, vector.slots), lambda slots, parts: pieces.Pieces(parts, slots)
    )
