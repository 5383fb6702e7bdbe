"""Predictions of one row and of 4096 rows, by mlpcore on every backend and by its peers."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from benchmarks.compare import BATCHES, PREDICTORS
from benchmarks.test_training import DTYPES, device_of, name_of
from mlpcore.backends.backend import Backend
from mlpcore.bench.contenders import OURS, Skipped, ready
from mlpcore.bench.suite import PREDICTING, about_predict
from mlpcore.bench.workloads import WORKLOADS, Workload, make_task

pytestmark = [
    pytest.mark.benchmark(max_time=0.2, min_rounds=3),
    pytest.mark.parametrize("dtype", DTYPES),
    pytest.mark.parametrize("batch", BATCHES),
    pytest.mark.parametrize("workload", WORKLOADS, ids=name_of),
]


def test_predict(benchmark: Any, backend: Backend, workload: Workload, batch: int, dtype: str) -> None:
    _predict(benchmark, OURS + backend.name, workload, batch, dtype, device_of(backend))


@pytest.mark.parametrize("name", PREDICTORS)
def test_predict_of_peers(benchmark: Any, name: str, workload: Workload, batch: int, dtype: str) -> None:
    _predict(benchmark, name, workload, batch, dtype, "cpu")


def _predict(benchmark: Any, name: str, workload: Workload, batch: int, dtype: str, device: str) -> None:
    try:
        contender = ready(name, make_task(replace(workload, steps=1), dtype), device)
    except Skipped as reason:
        pytest.skip(str(reason))
    x = np.random.default_rng(1).standard_normal((batch, workload.widths[0])).astype(dtype)
    predict = contender.predictor(x)
    assert np.shape(predict()) == (batch, workload.widths[-1])
    benchmark.group = f"predict {workload.name} {batch} {dtype} {device}"
    about = about_predict(workload, batch, dtype, device)
    benchmark.extra_info |= about | {"contender": PREDICTING.get(name, name)}
    benchmark(predict)
