"""``compile`` for NumPy: the step is recorded when a shape is first seen, and replayed from then on."""

from collections.abc import Callable
from contextlib import nullcontext
from typing import Any

import numpy as np

from mlpcore.backends.backend import ChunkError, Run, run_eagerly
from mlpcore.backends.replay.memory import aligned
from mlpcore.backends.replay.planning import Program, plan
from mlpcore.backends.replay.recording import as_input
from mlpcore.backends.replay.workers import blas_alone
from mlpcore.backends.replay.workers import run as play
from mlpcore.trees import Layout, leaves, tree_map
from mlpcore.typing import Array, Batch, State, Step

SHAPES = 8  # programs kept; each holds the memory of a step


def recorded(xp: Any) -> Callable[[Step, Layout], Run]:
    """``compile(step, layout)``: the ``run`` of `run_eagerly`, for steps that can be recorded; eager for others."""

    def compiled(step: Step, layout: Layout) -> Run:
        eager = run_eagerly(xp, np.asarray)(step, layout)
        programs: dict[Any, tuple[Program, Batch] | None] = {}
        home: list[State] = []  # one: the arrays that hold the state from step to step

        def program_for(batch: Batch) -> tuple[Program, Batch] | None:
            key = tuple((leaf.shape, leaf.dtype) for leaf in leaves(batch))
            if key not in programs:
                if len(programs) >= SHAPES:
                    programs.clear()
                try:
                    programs[key] = _record(step, home[0], batch)
                except Exception:  # whatever is wrong with the step shows when it is run eagerly
                    programs[key] = None
            return programs[key]

        def run(state: State, data: tuple, order: np.ndarray, draw: Callable[[int], Any]) -> tuple[State, Array]:
            if not home:
                home.append(tree_map(lambda leaf: _owned(np.asarray(leaf)), state))
            rows = order.shape[1]
            noise = tree_map(np.asarray, draw(0))
            x, target, weights = (np.broadcast_to(part[:1], (rows, *part.shape[1:])) for part in data)
            found = program_for(Batch(x, target, weights, noise))
            if found is None:
                return eager(state, data, order, draw)
            _adopt(home[0], state)
            program, batch = found
            losses = np.empty(order.shape[0], home[0].params.dtype)
            parts = tuple(zip(data, batch[:3], strict=True))
            draws = leaves(batch.noise)
            done = 0
            try:
                with blas_alone() if program.alone else nullcontext():
                    for done, taken in enumerate(order):  # ``done`` is read after an error
                        for part, place in parts:
                            np.take(part, taken, 0, place, "clip")
                        if draws:
                            for drawn, place in zip(leaves(draw(done)), draws, strict=True):
                                np.copyto(place, drawn)
                        play(program.before)
                        if program.ok:
                            play(program.after)
                        losses[done] = program.loss
            except BaseException as error:
                raise ChunkError(home[0], done) from error
            return home[0], losses

        return run

    return compiled


def _owned(array: np.ndarray) -> np.ndarray:
    place = aligned(array.shape, array.dtype)
    place[...] = array
    return place


def _adopt(home: State, state: State) -> None:
    """Take over what somebody else has put into the state since the last run."""
    for place, leaf in zip(leaves(home), leaves(state), strict=True):
        if leaf is not place:
            np.copyto(place, leaf)


def _record(step: Step, home: State, batch: Batch) -> tuple[Program, Batch]:
    """The program of the step for batches of this shape, and the arrays where it expects one."""
    state = tree_map(as_input, home)
    inputs = tree_map(as_input, batch)
    places = tree_map(lambda leaf: aligned(leaf.shape, leaf.dtype), batch)
    new, ok, loss = step.propose(state, inputs)
    own = dict(zip(leaves(inputs), leaves(places), strict=True))
    leaf_by_leaf = list(zip(leaves(new), leaves(state), leaves(home), strict=True))
    return plan(leaf_by_leaf, ok, {new.skipped}, loss, own), places
