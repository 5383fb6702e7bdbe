"""What a backend is: a library, a device, and the way a run of steps goes there. The rest of the code holds no name."""

from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from mlpcore.trees import tree_map
from mlpcore.typing import Array, Batch, State

Run = Callable[..., tuple[State, Array]]


@dataclass(frozen=True)
class Backend:
    """One library on one device.

    ``asarray(x, dtype=None)`` moves host data (or an array of this library) to the device, ``to_numpy`` brings it
    back, ``synchronize`` waits for the device. ``compile(step)`` gives ``run(state, data, order, draw)``, see
    `run_eagerly`; ``jit`` compiles a pure function of trees of arrays. ``scope(dtype)`` is the context in which all
    work is done. ``owns(x)`` tells whether x is an array of this library.
    """

    name: str
    xp: Any = field(repr=False)
    device: Any
    dtypes: dict[str, Any] = field(repr=False, hash=False)
    asarray: Callable[..., Array] = field(repr=False)
    to_numpy: Callable[[Array], np.ndarray] = field(repr=False)
    owns: Callable[[Any], bool] = field(repr=False)
    scope: Callable[[str], AbstractContextManager] = field(repr=False)
    compile: Callable[[Callable], Run] = field(repr=False)
    jit: Callable[[Callable], Callable] = field(repr=False, default=lambda function: function)
    synchronize: Callable[[], None] = field(repr=False, default=lambda: None)
    precisions: tuple[str, ...] = field(repr=False, default=("highest",))


def run_eagerly(xp: Any, asarray: Callable[..., Array]) -> Callable[[Callable], Run]:
    """``compile`` for a library that runs each operation at once: a loop over the steps."""

    def compiled(step: Callable[[State, Batch], tuple[State, Array]]) -> Run:
        def run(state: State, data: tuple, order: np.ndarray, draw: Callable[[int], Any]) -> tuple[State, Array]:
            """A chunk of steps; step i takes the rows ``order[i]`` of ``data`` (x, target, weights) and ``draw(i)``."""
            losses = []
            for i in range(order.shape[0]):
                rows = asarray(order[i])
                parts = (xp.take(part, rows, axis=0) for part in data)
                state, loss = step(state, Batch(*parts, noise=tree_map(asarray, draw(i))))
                losses.append(loss)
            return state, xp.stack(losses)

        return run

    return compiled
