"""A chunk of steps on a device that works while the host goes on: what the steps draw is sent ahead of them."""

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from mlpcore.backends.chunks import draw_chunks
from mlpcore.backends.compilation import Compilation
from mlpcore.backends.run import Data, Draw, Run, run_steps
from mlpcore.trees import Layout, tree_map
from mlpcore.typing import Array, State, Step


def run_prefetched(xp: Any, asarray: Callable[..., Array]) -> Callable[..., Run]:
    """``compile`` like `mlpcore.backends.run.run_eagerly`, with as few transfers as can be: none in a step.

    The order of the rows goes to the device once for a chunk, and so do the draws of all its steps, stacked, or those
    of as many steps as `mlpcore.backends.chunks.NOISE_BYTES` hold.
    """

    def compiled(step: Step, layout: Layout | None = None, compilation: Compilation | None = None) -> Run:
        (compilation or Compilation()).run_eagerly()

        def run(state: State, data: Data, order: np.ndarray, draw: Draw) -> tuple[State, Array]:
            def all_draws() -> Iterator[tuple]:
                for steps, stacked in draw_chunks(order.shape[0], draw, asarray):
                    for i in range(steps.stop - steps.start):
                        yield tree_map(lambda stack, i=i: stack[i, ...], stacked)

            return run_steps(xp, step, state, data, asarray(order), all_draws())

        return run

    return compiled
