"""Measures training steps alone: without shuffling, with data checked and moved to the device before."""

import numpy as np

from mlpcore.bench.contenders import OURS
from mlpcore.bench.measure import Run, alternate, repeat
from mlpcore.bench.ours import build
from mlpcore.bench.suite import Record, about_case
from mlpcore.bench.workloads import Task, Workload, make_task
from mlpcore.training.ingest import ingest
from mlpcore.training.interruption import Interruption


def step_run(task: Task, device: str, backend: str) -> Run:
    """The run of the steps of an epoch."""
    model = build(task, device, backend)
    with model.backend.scope(task.dtype):
        data, weights = ingest(model.trainer, task.x, task.y)
    rows = np.arange(task.workload.rows)

    def steps() -> None:
        with model.backend.scope(task.dtype):
            model.trainer.epoch(data, weights, lambda epoch: rows, task.workload.batch, Interruption())
            model.backend.extras.synchronize()

    return repeat(steps)


def steps(workload: Workload, backend: str, dtype: str, *, device: str, rounds: int, seconds: float) -> list[Record]:
    """The record of a workload's steps on one backend."""
    name = OURS + backend
    run = step_run(make_task(workload, dtype), device, backend)
    run(1)
    samples = alternate({name: run}, rounds, seconds)
    return [about_case("step", workload, dtype, device) | {"contender": name, "seconds": samples[name]}]
