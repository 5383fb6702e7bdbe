"""A small network with everything in it, and what the tests of training compare: whole states, bit by bit."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np

import mlpcore as mc
from mlpcore.backends.backend import Backend, Compilers
from mlpcore.backends.run import run_eagerly
from mlpcore.random import Stream
from mlpcore.trees import named_leaves

ROWS = 22
X = Stream(3, "x").normal((ROWS, 3))
Y = np.stack([X[:, 0] * X[:, 1], np.sin(2 * X[:, 2])], axis=1)
LABELS = (X[:, 0] > 0).astype("int64") + (X[:, 1] > 0.5)
NET = mc.Sequential(
    mc.Linear(3, 5, bias=False),
    mc.BatchNorm(5),
    mc.Tanh(),
    mc.Residual(mc.Sequential(mc.LayerNorm(5), mc.Dropout(0.25), mc.Linear(5, 5))),
    mc.Linear(5, 2),
)
PLAIN = mc.Sequential(mc.Linear(3, 4), mc.Tanh(), mc.Linear(4, 2))


EVERYTHING: dict[str, Any] = {"l2": 0.01, "clip_norm": 0.5, "clip_value": 0.2, "ema": 0.9, "seed": 3}
FIT: dict[str, Any] = {"batch_size": 5, "validation_data": (X[:9], Y[:9])}  # 22 rows: four whole batches, one of two
THERE = Stream(8, "there").uniform(Y.shape) > 0.3  # some rows have no target, some have one
GAPPED = np.where(THERE, Y, np.nan)
SKIP: dict[str, Any] = {"missing_targets": "skip"}
EAGER = replace(mc.get_backend("numpy"), compile=Compilers(run_eagerly(mc.get_backend("numpy").xp, np.asarray)))


def with_steps(backend: Backend, steps: Callable) -> Backend:
    """The backend with ``steps(step, layout, compilation)`` in the place of its own `Compilers.steps`."""
    return replace(backend, compile=replace(backend.compile, steps=steps))


def with_extras(backend: Backend, **extras: Any) -> Backend:
    """The backend with some other `DeviceExtras`."""
    return replace(backend, extras=replace(backend.extras, **extras))


def make(net: Any = NET, loss: Any = None, optimizer: Any = None, **words: Any) -> mc.Model:
    """A model for X and Y, in float64 where nothing else is said."""
    return mc.Model(net, loss or mc.HalfSquaredError(), optimizer or mc.Adam(0.01), **{"dtype": "float64", **words})


def classifier(**words: Any) -> mc.Model:
    """A model for X and LABELS."""
    return make(mc.Sequential(mc.Linear(3, 6), mc.Tanh(), mc.Linear(6, 3)), mc.SoftmaxCrossEntropy(), **words)


def state_of(model: mc.Model) -> dict[str, np.ndarray]:
    """A copy of all that training moves, by name, the padding of the vectors too."""
    leaves = {name: np.array(model.backend.to_numpy(leaf)) for name, leaf in named_leaves(model.trainer.state)}
    progress = model.trainer.progress
    return leaves | {"epoch": np.array(progress.epoch), "step": np.array(progress.step)}


def assert_same(got: dict[str, np.ndarray], expected: dict[str, np.ndarray], but: tuple[str, ...] = ()) -> None:
    """The same names, dtypes and bits."""
    assert got.keys() == expected.keys()
    for name in got.keys() - set(but):
        assert got[name].dtype == expected[name].dtype, name
        np.testing.assert_array_equal(got[name], expected[name], err_msg=name)


def differ(one: dict[str, np.ndarray], other: dict[str, np.ndarray]) -> bool:
    """Whether any number is not the same."""
    return any(not np.array_equal(one[name], other[name]) for name in one)


def untimed(history: mc.History) -> list[dict[str, float]]:
    """The rows of a history without the speed, the one column that no seed decides."""
    return [{name: value for name, value in row.items() if name != "rows_per_second"} for row in history.rows]
