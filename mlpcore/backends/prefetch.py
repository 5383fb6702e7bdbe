"""A chunk of steps on a device that works while the host goes on: what the steps draw is sent ahead of them."""

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from mlpcore.backends.compilation import Compilation
from mlpcore.backends.run import Run, run_steps
from mlpcore.backends.streaming import pieces
from mlpcore.trees import Layout, leaves, tree_map
from mlpcore.typing import Array, Noise, State, Step

NOISE_BYTES = 64 << 20  # of noise made or sent in one go; longer chunks take it in pieces


def run_prefetched(xp: Any, asarray: Callable[..., Array]) -> Callable[..., Run]:
    """``compile`` like `mlpcore.backends.run.run_eagerly`, with as few transfers as can be: none in a step.

    The order of the rows goes to the device once for a chunk, and so do the draws of all its steps, stacked, or those
    of as many steps as `NOISE_BYTES` hold.
    """

    def compiled(step: Step, layout: Layout | None = None, compilation: Compilation | None = None) -> Run:
        (compilation or Compilation()).run_eagerly()

        def run(state: State, data: tuple, order: np.ndarray, draw: Callable[[int], Any]) -> tuple[State, Array]:
            def noises() -> Iterator[Noise]:
                first = draw(0)
                each = sum(leaf.nbytes for leaf in leaves(first))
                for start, stop in pieces(order.shape[0], each, NOISE_BYTES):
                    draws = [draw(i) if i else first for i in range(start, stop)]
                    yield from sent(draws, asarray)

            return run_steps(xp, step, state, data, asarray(order), noises())

        return run

    return compiled


def sent(draws: list[Any], asarray: Callable[..., Array]) -> list[Any]:
    """The trees of draws on the device, one transfer for each leaf."""
    columns = [leaves(tree) for tree in draws]
    placed = [asarray(np.stack(column)) for column in zip(*columns, strict=True)]
    made = []
    for i, tree in enumerate(draws):
        own = iter([column[i, ...] for column in placed])
        made.append(tree_map(lambda _, own=own: next(own), tree))
    return made
