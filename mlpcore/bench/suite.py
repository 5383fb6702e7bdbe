"""Measures epochs and predictions of all contenders, and the limit, in alternating rounds; returns records."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from mlpcore.backends import get_backend
from mlpcore.bench.contenders import OURS, Contender, Skipped, backend_of, ready
from mlpcore.bench.limit import floor, probes, products
from mlpcore.bench.measure import Run, alternate, repeat
from mlpcore.bench.workloads import Task, Workload, make_task

LIMIT = "limit"
PREDICTING = {"jax scan": "jax jit"}  # the names of contenders in predictions
Record = dict[str, Any]  # JSON values; "seconds" of each round for "rows" rows, or "skipped" with the reason


def about_case(task: str, workload: Workload, dtype: str, device: str) -> Record:
    """The entries of a training record except contender and times."""
    return {
        "what": task,
        "workload": workload.name,
        "batch": workload.batch,
        "widths": list(workload.widths),
        "dtype": dtype,
        "device": device,
        "rows": workload.rows,
        "flops": workload.rows * workload.flops,
    }


def about_predict(workload: Workload, batch: int, dtype: str, device: str) -> Record:
    """The entries of a prediction record of ``batch`` rows except contender and times."""
    about = about_case("predict", workload, dtype, device)
    return about | {"batch": batch, "rows": batch, "flops": batch * workload.forward_flops}


def epochs(
    workload: Workload,
    names: Sequence[str],
    *,
    dtype: str = "float32",
    device: str = "cpu",
    rounds: int,
    seconds: float,
) -> list[Record]:
    """The records of an epoch: one for each contender, and one for the limit in the same rounds."""
    task = make_task(workload, dtype)
    entered, left_out = _enter(task, names, device)
    about = about_case("epoch", workload, dtype, device)
    runs: dict[str, Run] = {contender.name: contender.train for contender in entered}
    if device == "cpu":
        limit = products(task)
        limit(1)
        samples = alternate({LIMIT: limit, **runs}, rounds, seconds)
    else:
        samples = _with_probes(task, runs, entered, rounds, seconds)
    return [about | {"contender": name, "seconds": times} for name, times in samples.items()] + _skipped(
        about, left_out
    )


def predictions(
    workload: Workload,
    batches: Sequence[int],
    names: Sequence[str],
    *,
    dtype: str = "float32",
    device: str = "cpu",
    rounds: int,
    seconds: float,
) -> Iterator[Record]:
    """Yield, for each batch size, a record of each contender's predictions after one training step."""
    task = make_task(replace(workload, steps=1), dtype)
    entered, left_out = _enter(task, names, device)
    for batch in batches:
        x = np.random.default_rng(1).standard_normal((batch, workload.widths[0]), dtype="float32").astype(dtype)
        calls = {PREDICTING.get(contender.name, contender.name): contender.predictor(x) for contender in entered}
        for predict in calls.values():
            predict()  # it may compile
        runs = {name: repeat(predict) for name, predict in calls.items()}
        about = about_predict(workload, batch, dtype, device)
        for name, samples in alternate(runs, rounds, seconds).items():
            yield about | {"contender": name, "seconds": samples}
        yield from _skipped(about, left_out)


def _enter(task: Task, names: Sequence[str], device: str) -> tuple[list[Contender], dict[str, str]]:
    """The contenders that are ready, and for each of the others the reason why it is not."""
    entered, left_out = [], {}
    for name in names:
        try:
            entered.append(ready(name, task, device))
        except Skipped as reason:
            left_out[name] = str(reason)
    return entered, left_out


def _with_probes(
    task: Task, runs: dict[str, Run], entered: list[Contender], rounds: int, seconds: float
) -> dict[str, list[float]]:
    """The seconds of all contenders, and the limit by the rates of a copy and a product measured in the same rounds."""
    backend_name = next((backend_of(contender.name) for contender in entered if contender.name.startswith(OURS)), None)
    if backend_name is None:
        return alternate(runs, rounds, seconds)
    probe_runs = probes(get_backend(backend_name, None if backend_name == "cupy" else "cuda"), task.dtype)
    for run, _ in probe_runs.values():
        run(1)
    samples = alternate({name: run for name, (run, _) in probe_runs.items()} | runs, rounds, seconds)
    pairs = zip(samples.pop("copy"), samples.pop("product"), strict=True)
    rates = [(probe_runs["copy"][1] / copy, probe_runs["product"][1] / product) for copy, product in pairs]
    return {LIMIT: [floor(task.workload, task.dtype, *pair) for pair in rates], **samples}


def _skipped(about: Record, left_out: dict[str, str]) -> list[Record]:
    return [about | {"contender": name, "skipped": reason} for name, reason in left_out.items()]
