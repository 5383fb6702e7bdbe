"""Training steps on every backend, and whole shuffled epochs of mlpcore and its peers.

`benchmarks.compare` measures the epochs in alternating rounds, which is fairer on a machine whose speed drifts.
"""

from typing import Any

import numpy as np
import pytest

from mlpcore.backends.backend import Backend
from mlpcore.bench.contenders import OURS, PEERS, Skipped, ready
from mlpcore.bench.limit import products
from mlpcore.bench.ours import contender
from mlpcore.bench.suite import LIMIT, about_case
from mlpcore.bench.workloads import SWEEP, WORKLOADS, Workload, make_task

DTYPES = ("float32", "float64")
CASES = [(workload, dtype) for workload in WORKLOADS for dtype in DTYPES] + [
    (workload, "float32") for workload in SWEEP
]


def name_of(parameter: Any) -> str | None:
    return f"{parameter.name}-{parameter.batch}" if isinstance(parameter, Workload) else None


def device_of(backend: Backend) -> str:
    return "cuda" if any(word in str(backend.device).lower() for word in ("cuda", "gpu")) else "cpu"


@pytest.mark.benchmark(max_time=0.5, min_rounds=3)
@pytest.mark.parametrize(("workload", "dtype"), CASES, ids=name_of)
def test_steps(benchmark: Any, backend: Backend, workload: Workload, dtype: str) -> None:
    device = device_of(backend)
    order = np.arange(workload.rows).reshape(workload.steps, workload.batch)
    run = contender(make_task(workload, dtype), device, backend.name).stepper(order)
    run()
    benchmark.group = f"steps {workload.name} {workload.batch} {dtype}"
    benchmark.extra_info |= about_case("step", workload, dtype, device) | {"contender": OURS + backend.name}
    benchmark(run)


@pytest.mark.benchmark(max_time=0.5, min_rounds=3)
@pytest.mark.parametrize(("workload", "dtype"), CASES, ids=name_of)
def test_epoch(benchmark: Any, backend: Backend, workload: Workload, dtype: str) -> None:
    _epoch(benchmark, OURS + backend.name, workload, dtype, device_of(backend))


@pytest.mark.benchmark(max_time=0.5, min_rounds=3)
@pytest.mark.parametrize(("workload", "dtype"), CASES[: len(WORKLOADS) * len(DTYPES)], ids=name_of)
@pytest.mark.parametrize("name", [*PEERS, LIMIT])
def test_epoch_of_peers(benchmark: Any, name: str, workload: Workload, dtype: str) -> None:
    _epoch(benchmark, name, workload, dtype, "cpu")


def _epoch(benchmark: Any, name: str, workload: Workload, dtype: str, device: str) -> None:
    task = make_task(workload, dtype)
    try:
        run = products(task) if name == LIMIT else ready(name, task, device).train
    except Skipped as reason:
        pytest.skip(str(reason))
    benchmark.group = f"epoch {workload.name} {workload.batch} {dtype} {device}"
    benchmark.extra_info |= about_case("epoch", workload, dtype, device) | {"contender": name}
    benchmark(run, 1)
