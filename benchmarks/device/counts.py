"""Kernels of a warm step as the profiler sees them, against the committed table of tests/golden/device_counts.json.

torch.profiler records what any library of the process launches, as CUDA's own interface for it (CUPTI) does. Kernels
within captured steps are seen one by one too. Without torch's profiler on CUDA this is recorded as absent.
"""

import json
import re
import sys
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.device.cases import DEVICE
from benchmarks.device.files import Record
from benchmarks.device.running import run_cases
from mlpcore.bench.ours import build, contender_of
from mlpcore.bench.workloads import WORKLOADS, Workload, make_task

TABLE = Path(__file__).parents[2] / "tests" / "golden" / "device_counts.json"
STEPS = (32, 96)  # of two epochs, whose difference is the steps alone; multiples of the steps in a captured graph


def profiler_is_there() -> bool:
    """Whether torch can record what runs on the device."""
    try:
        profiler = import_module("torch.profiler")
    except ImportError:
        return False
    return import_module("torch").cuda.is_available() and profiler.kineto_available()


def profiled(run: Callable[[], Any]) -> list[str]:
    """The names of what runs on the device, launch by launch."""
    torch, profiler = import_module("torch"), import_module("torch.profiler")
    with profiler.profile(activities=[profiler.ProfilerActivity.CUDA]) as profile:
        run()
        torch.cuda.synchronize()
    kinds = import_module("torch.autograd").DeviceType
    return [event.name for event in profile.events() if event.device_type == kinds.CUDA]


def printed_names(source: str) -> set[str]:
    """The names of the kernels in CUDA C."""
    return set(re.findall(r"__global__\s+void\s+(?:__launch_bounds__\([^)]*\)\s*)?(\w+)\s*\(", source))


def sorted_out(names: Iterable[str], printed: set[str]) -> Counter:
    """How many of the names are printed kernels, copies, clears and, of all else, products."""
    words = {"memcpy": "copies", "memset": "clears"}
    return Counter(
        "kernels" if name in printed else words.get(name.partition(" ")[0].lower(), "products") for name in names
    )


def each_step(few: Counter, many: Counter, steps: int) -> dict[str, float]:
    """What each of the steps costs that make the difference."""
    return {name: (many[name] - few[name]) / steps for name in sorted(few | many)}


def compare(workload: Workload, captured: bool) -> list[Record]:
    """The counts of a step, and those of the table."""
    model = build(make_task(workload), DEVICE, "cupy", captured)
    ours = contender_of(make_task(workload), model)
    counts = []
    for steps in STEPS:
        run = ours.stepper(np.random.default_rng(0).integers(0, workload.rows, (steps, workload.batch)))
        for _ in range(3):  # compiles, and captures
            run()
        counts.append(sorted_out(profiled(run), printed_names(model.compiled.source)))
    found = each_step(*counts, STEPS[1] - STEPS[0])
    kind = "captured step" if captured else "step"
    table = json.loads(TABLE.read_text(encoding="utf-8"))[f"workload {workload.name}"][kind]
    # A product may be several kernels; captured steps copy their row numbers to memory that stays in place.
    record = {"captured": captured, "found": found, "table": table}
    if found.get("kernels") != table["kernels"] or found.get("products", 0) < table["products"]:
        record["failed"] = "a step launches other kernels than the table says"
    return [record]


def main(argv: Sequence[str]) -> int:
    """Count."""
    if not profiler_is_there():
        return run_cases(Path(argv[0]), "counts", {"profiler": lambda: [{"absent": "torch.profiler with CUDA"}]})
    cases = {
        f"{workload.name}{', captured' if captured else ''}": partial(compare, workload, captured)
        for captured in (False, True)
        for workload in WORKLOADS
        if workload.name in ("tiny", "digits", "mnist", "deep")
    }
    return run_cases(Path(argv[0]), "counts", cases)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
