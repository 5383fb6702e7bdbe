"""Chunks of steps on an asynchronous device: row orders and draws of all steps are sent before the steps run."""

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from mlpcore.backends.chunks import draw_chunks
from mlpcore.backends.compilation import Compilation
from mlpcore.backends.run import Data, Draw, Run, run_steps
from mlpcore.trees import Layout, tree_map
from mlpcore.typing import Array, State, Step


def run_prefetched(xp: Any, asarray: Callable[..., Array]) -> Callable[..., Run]:
    """`mlpcore.backends.run.run_eagerly` with fewer transfers: none in a step.

    The row order goes to the device once per chunk. So do the draws, stacked over the steps; if they are larger than
    `mlpcore.backends.chunks.NOISE_BYTES`, they are sent for as many steps as fit in that.
    """

    def compiled(step: Step, layout: Layout | None = None, compilation: Compilation | None = None) -> Run:
        (compilation or Compilation()).run_eagerly()

        def run(state: State, data: Data, order: np.ndarray, draw: Draw) -> tuple[State, Array]:
            def all_draws() -> Iterator[tuple[Any, ...]]:
                for steps, stacked in draw_chunks(order.shape[0], draw, asarray):
                    for i in range(steps.stop - steps.start):
                        yield tree_map(lambda stack, i=i: stack[i, ...], stacked)

            return run_steps(xp, step, state, data, asarray(order), all_draws())

        return run

    return compiled
