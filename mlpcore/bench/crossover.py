"""Times training steps and predictions on NumPy and on a GPU, over widths and batch sizes."""

import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

from mlpcore.backends import get_backend
from mlpcore.backends.backend import Backend
from mlpcore.backends.choice import Work
from mlpcore.backends.choice.measurement import DTYPES, PREDICTION, STEP
from mlpcore.bench.measure import Run, alternate, repeat
from mlpcore.bench.workloads import LEARNING_RATE, Workload, make_task
from mlpcore.compiler import blas
from mlpcore.compiler.build import find_compiler
from mlpcore.losses import SoftmaxCrossEntropy
from mlpcore.model import Model
from mlpcore.optimizers import Adam

WIDTHS, BATCHES = (16, 64, 256, 1024), (32, 256, 2048)
CLASSES = 10
EPOCH_FLOPS, EPOCH_STEPS = 1e10, 16  # an epoch has as many steps as fit into both, at least one
ROUNDS = 3


class Row(NamedTuple):
    """What was measured of one size: the median seconds of a call on NumPy and on the GPU, and its FLOPs."""

    dtype: str
    what: str  # "step" or "prediction"
    widths: tuple[int, ...]
    batch: int
    flops: float
    numpy: float
    gpu: float


class Size(NamedTuple):
    """A network of three Linear layers, two of them ``width`` wide, trained in batches of ``batch`` rows."""

    width: int
    batch: int
    dtype: str

    @property
    def workload(self) -> Workload:
        """The network and its rows; an epoch has few steps where they are long."""
        widths = (self.width, self.width, self.width, CLASSES)
        one = Workload("size", self.batch, widths, steps=1)
        steps = EPOCH_FLOPS / (3 * one.forward_flops * self.batch)
        return Workload("size", self.batch, widths, steps=max(1, min(EPOCH_STEPS, int(steps))))


def sizes(widths: Sequence[int] = WIDTHS, batches: Sequence[int] = BATCHES) -> list[Size]:
    """The grid, in float32 first, with small batches before large ones."""
    return [Size(width, batch, dtype) for dtype in DTYPES for batch in sorted(batches) for width in sorted(widths)]


def measured(
    grid: Sequence[Size],
    gpu: Backend,
    seconds: float,
    budget: float,
    clock: Callable[[], float] = time.perf_counter,
) -> Iterator[Row]:
    """Yield the rows of each size, of a step and of a prediction, as soon as they are measured.

    A round takes about ``seconds`` for each backend, longer where a call does. No size is begun ``budget`` seconds
    after the start.
    """
    began = clock()
    for size in grid:
        if clock() - began > budget:
            return
        yield from _rows(size, gpu, seconds)


def _rows(size: Size, gpu: Backend, seconds: float) -> Iterator[Row]:
    """The rows of one size. As in a user's fit, the data come from the host."""
    workload = size.workload
    runs = {name: _runs(size, backend) for name, backend in {"numpy": get_backend("numpy"), "gpu": gpu}.items()}
    for what, calls in {STEP: workload.steps, PREDICTION: 1}.items():
        for both in runs.values():
            both[what](1)  # compiles, and fills memory pools
        times = alternate({name: both[what] for name, both in runs.items()}, ROUNDS, seconds)
        medians = {name: statistics.median(samples) / calls for name, samples in times.items()}
        flops = Work.of(what, workload.forward_flops, size.batch, size.dtype).flops
        yield Row(size.dtype, what, workload.widths, size.batch, flops, **medians)


def _runs(size: Size, backend: Backend) -> dict[str, Run]:
    """Runs of an epoch and of the prediction of one batch on a backend."""
    task = make_task(size.workload, size.dtype)
    # On NumPy steps are compiled, as they are in every longer fit.
    compiles = backend.name == "numpy" and find_compiler() is not None and bool(blas.find())
    words: dict[str, Any] = {"backend": backend, "dtype": size.dtype, "distributed": None}
    words["compile"] = True if compiles else "auto"
    model = Model(size.workload.network(), SoftmaxCrossEntropy(), Adam(LEARNING_RATE), **words)
    rows = task.x[: size.batch]

    def train(epochs: int) -> None:
        model.fit(task.x, task.y, epochs=epochs, batch_size=size.batch)
        backend.extras.synchronize()

    return {STEP: train, PREDICTION: repeat(lambda: model.predict(rows))}
