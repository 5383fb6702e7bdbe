"""Single operations: each primitive's faster body beside its reference body, on every backend that has one."""

from typing import Any

import pytest

from benchmarks.cases import CASES, SHAPES, bodies
from benchmarks.operations import about_operation
from mlpcore.backends.backend import Backend


@pytest.mark.benchmark(max_time=0.2, min_rounds=3)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("shape", SHAPES, ids=lambda shape: f"{shape[0]}x{shape[1]}")
@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize("kind", ["body", "kernel"])
def test_operation(benchmark: Any, backend: Backend, kind: str, name: str, shape: tuple[int, int], dtype: str) -> None:
    found = bodies(name, backend, shape, dtype)
    if kind not in found:
        pytest.skip(f"{backend.name} has no faster body of {name}")
    found[kind]()
    benchmark.group = f"{name} {shape[0]}x{shape[1]} {dtype} {backend.name}"
    benchmark.extra_info |= about_operation(name, backend, shape, dtype) | {"contender": f"{backend.name} {kind}"}
    benchmark(found[kind])
