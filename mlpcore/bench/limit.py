"""The limit of training speed: on a CPU the matrix products alone, on a GPU bytes and operations at measured rates."""

from itertools import pairwise
from typing import Any

import numpy as np

from mlpcore.backends.backend import Backend
from mlpcore.bench.measure import Run, repeat
from mlpcore.bench.workloads import Task, Workload

# Sizes of the probes: entries of a vector that is many times larger than the caches, and rows and columns of a square
# matrix whose product uses the whole device.
COPY_ELEMENTS, PRODUCT_SIDE = 1 << 28, 8192


def products(task: Task) -> Run:
    """The run of an epoch's matrix products alone, by `np.matmul` into existing arrays.

    A step has ``x @ w`` for every layer, then ``x.T @ dy`` and, except for the first layer, ``dy @ w.T``.
    """
    rng, workload = np.random.default_rng(0), task.workload
    rows = [rng.standard_normal((workload.batch, width)).astype(task.dtype) for width in workload.widths]
    weights = [rng.standard_normal(shape).astype(task.dtype) for shape in pairwise(workload.widths)]
    triples = [(x, weight, weight.T) for x, weight in zip(rows[:-1], weights, strict=True)]
    jobs = [(x, weight) for x, weight, _ in triples]
    for i in reversed(range(len(weights))):
        x, _, transposed = triples[i]
        jobs += [(x.T, rows[i + 1]), *([(rows[i + 1], transposed)] if i else [])]
    products = [(a, b, np.empty((a.shape[0], b.shape[1]), task.dtype)) for a, b in jobs]

    def epoch() -> None:
        for _ in range(workload.steps):
            for a, b, out in products:
                np.matmul(a, b, out=out)

    return repeat(epoch)


def probes(backend: Backend, dtype: str, elements: int = COPY_ELEMENTS, side: int = PRODUCT_SIDE) -> dict[str, Any]:
    """Runs of a large copy and a large product of random numbers, which measure the rates of the backend's device.

    ``elements`` is the length of the copied vector, ``side`` the number of rows and columns of the factors. Returns
    ``{"copy": (run, bytes read and written), "product": (run, operations)}``.
    """
    xp, kind = backend.xp, backend.dtypes[dtype]
    rng = np.random.default_rng(0)
    with backend.scope(dtype):
        block = backend.asarray(rng.standard_normal(min(elements, 1 << 20)).astype(dtype))
        vector = xp.tile(block, (elements // block.shape[0],))
        square = backend.asarray(rng.standard_normal((side, side), dtype="float32"), dtype=kind)

    def probe(function: Any) -> Run:
        run = repeat(function)

        def synchronised(times: int) -> None:
            with backend.scope(dtype):
                run(times)
                backend.extras.synchronize()

        return synchronised

    itemsize = np.dtype(dtype).itemsize
    return {
        "copy": (probe(lambda: xp.asarray(vector, copy=True)), 2 * vector.shape[0] * itemsize),
        "product": (probe(lambda: square @ square), 2 * side**3),
    }


def floor(workload: Workload, dtype: str, bytes_per_second: float, flops_per_second: float) -> float:
    """A lower bound for the seconds of an epoch: for each step the longer of moving its bytes and doing its operations.

    In a step the rows are read, and the parameters and both of Adam's moments are read and written.
    """
    itemsize = np.dtype(dtype).itemsize
    moved = itemsize * (workload.batch * workload.widths[0] + 6 * workload.parameters)
    return workload.steps * max(moved / bytes_per_second, workload.batch * workload.flops / flops_per_second)
