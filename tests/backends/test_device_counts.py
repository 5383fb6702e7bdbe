"""What a step, a chunk and an epoch cost on a CUDA device: exactly what the committed table says, and what must not be.

A change of the table (see tests/helpers/device_counts.py) is a change of speed, to be looked at.
"""

import json
import subprocess
import sys
from pathlib import Path

import device_counts
import numpy as np
import pytest
from devices import gpu, open_place
from printing import CASES, dtypes, programs

TABLE = device_counts.read()


@pytest.mark.parametrize("case", CASES)
def test_what_is_printed_is_what_the_table_says(case: str) -> None:
    for dtype in dtypes(CASES[case]):
        kinds = "step", *["captured step"] * (dtype == "float32"), "prediction"
        expected = {kind: TABLE[case][kind] for kind in kinds if kind in TABLE[case]}
        assert device_counts.of_programs(CASES[case], dtype) == expected


def test_the_table_has_all_cases() -> None:
    assert list(TABLE) == list(CASES)


def test_few_operations_in_a_step() -> None:
    assert sum(TABLE["784-256-128-10"]["step"].values()) <= 18
    assert sum(TABLE["784-256-128-10"]["captured step"].values()) <= 13
    larger = ("nested", "Members", "layer Embedding")  # several layers in one, or products for every column
    small = [
        name for name, case in CASES.items() if len(case.net.layers) <= 3 and not any(word in name for word in larger)
    ]
    assert max(sum(TABLE[name]["step"].values()) for name in small) <= 24


@pytest.mark.parametrize("case", CASES)
def test_the_host_reads_once_in_a_chunk(case: str) -> None:
    chunk, epoch = TABLE[case]["chunk"], TABLE[case]["epoch"]
    assert chunk["to host"] == chunk["waits"] == 1 and chunk["to device"] <= 2
    assert epoch["to host"] == epoch["waits"] == 1  # the learning rate
    assert "allocations" not in chunk | epoch and "to device" not in epoch


@pytest.mark.parametrize("name", ["numpy", gpu("cupy")])
def test_arrays_that_are_read_together(name: str) -> None:
    backend = open_place(name)
    x = np.random.default_rng(0).normal(size=(4, 3))
    host = [x[0].astype("float32"), np.array(True), np.array(3, np.int32), x, x[:0], np.arange(5)]
    with backend.scope("float64"):
        there = [backend.asarray(one) for one in host]
        found = backend.read(*there, there[3].T)
    for one, right in zip(found, [*host, x.T], strict=True):
        assert one.dtype == right.dtype
        np.testing.assert_array_equal(one, right)


@pytest.mark.parametrize("library", [gpu("cupy")])
def test_what_cuda_is_asked_for(library: str) -> None:
    """In a process of its own, where all calls are counted: a warm step asks for what is printed and nothing else."""
    open_place(library)
    command = [sys.executable, device_counts.__file__, "--fits"]
    run = subprocess.run(command, capture_output=True, text=True, check=False, cwd=Path(__file__).parents[2])
    assert run.returncode == 0, run.stderr[-3000:]
    for name, found in json.loads(run.stdout).items():
        step = found["step"]
        assert set(step) <= {"kernels", "products", "copies", "clears"}, (name, step)
        printed = device_counts.launched(programs(CASES[name]._replace(batch=8), "float32")[0][0])
        # A copy with gaps is a kernel.
        assert _together(step) == _together(printed), (name, step, printed)
        assert {kind: found[kind] for kind in ("chunk", "epoch")} == {
            kind: TABLE[name][kind] for kind in ("chunk", "epoch")
        }, name


@pytest.mark.parametrize("library", [gpu("cupy")])
def test_steps_of_a_stack_cost_what_those_of_a_network_cost(library: str) -> None:
    """And chunks the same for any number of members: beside the one of a network, they send and read once."""
    open_place(library)
    command = [sys.executable, device_counts.__file__, "--stacks"]
    run = subprocess.run(command, capture_output=True, text=True, check=False, cwd=Path(__file__).parents[2])
    assert run.returncode == 0, run.stderr[-3000:]
    found = json.loads(run.stdout)
    for name in device_counts.STACKED:
        alone, two, many = (found[f"{name}, {members} members"] for members in (1, 2, 20))
        assert _together(alone["step"]) == _together(two["step"]), (name, alone, two)  # a copy with gaps is a kernel
        assert two["step"] == many["step"], (name, two, many)
        assert two["chunk"] == many["chunk"] and many["chunk"]["to host"] == many["chunk"]["waits"] == 1, (name, many)
        assert "allocations" not in many["step"] | many["chunk"]


def _together(counts: device_counts.Counts) -> tuple[int, int]:
    return counts["products"], sum(counts.values()) - counts["products"]
