"""Step times of mlpcore and its peers on the device, all in one process, in alternating rounds.

``python -m benchmarks.device.steps OUT`` measures, ``... prepare OUT`` compiles beforehand what is kept on disk.
"""

import os
import subprocess
import sys
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.device.cases import CASES, DEVICE, JAX, OURS, PEERS_DEVICE, REHEARSAL, SECONDS, TORCH, Case
from benchmarks.device.files import Record
from benchmarks.device.running import run_cases, sticky
from mlpcore.backends.cupy.handle import Cublas
from mlpcore.bench.contenders import OURS as PREFIX
from mlpcore.bench.contenders import Skipped, ready
from mlpcore.bench.measure import Run, alternate, repeat
from mlpcore.bench.suite import about_case
from mlpcore.bench.workloads import make_task

PRODUCT = "cublas product"  # the contender that is only a product of the workload's size
SLOW = ("torch.compile", "torch graph, compiled")  # to compile
BFLOAT16, FLOAT32, COMPUTE_32F = 14, 0, 68  # of cudaDataType and cublasComputeType


def measure(case: Case) -> list[Record]:
    """The records of a case, one for each contender."""
    order, runs, skipped = case.order(), dict[str, Run](), dict[str, str]()
    task = make_task(case.workload, precision=case.precision)
    for name in (*OURS, *TORCH, JAX):
        if REHEARSAL and name in SLOW:
            skipped[name] = "left out in a rehearsal"
            continue
        try:
            contender = ready(name, task, DEVICE if name.startswith(PREFIX) else PEERS_DEVICE, order)
            run = contender.stepper(order)
            run()
            runs[name] = repeat(run)
        except Skipped as reason:
            skipped[name] = str(reason)
        except Exception as error:
            if sticky(error):
                raise
            skipped[name] = f"{type(error).__name__}: {error}".splitlines()[0]
    if case.share is not None:
        runs[PRODUCT] = product(case)
        runs[PRODUCT](1)
    facts = about_case("step", case.workload, case.kind, DEVICE)
    rows = case.steps * case.workload.batch
    facts |= {"rows": rows, "flops": rows * case.workload.flops, "steps": case.steps}
    facts |= {"goals": {"torch": case.torch, "jax": case.jax, "share": case.share}}
    records = [
        facts | {"contender": name, "seconds": [float(f"{second:.6g}") for second in times]}
        for name, times in alternate(runs, case.rounds, SECONDS).items()
    ]
    return records + [facts | {"contender": name, "skipped": reason} for name, reason in skipped.items()]


def product(case: Case) -> Run:
    """As many products (batch, width) @ (width, width) of bfloat16 numbers into float32 as the steps' operations need.

    For widths that are all the same.
    """
    import cupy

    n, width = case.workload.batch, case.workload.widths[0]
    rng = np.random.default_rng(2)

    def rounded(shape: tuple[int, int]) -> Any:
        """Random numbers, the upper 16 bits of float32."""
        bits = rng.standard_normal(shape, dtype="float32").view("uint32") >> 16
        return cupy.asarray(bits.astype("uint16"))

    x, weight, y = rounded((n, width)), rounded((width, width)), cupy.empty((n, width), "float32")
    one, zero = np.ones((), "float32"), np.zeros((), "float32")
    # Column by column, as cuBLAS reads, these are y.T = weight.T @ x.T.
    factors = [weight.data.ptr, BFLOAT16, width, x.data.ptr, BFLOAT16, width]
    numbers = [0, 0, width, n, width, one.ctypes.data, *factors, zero.ctypes.data, y.data.ptr, FLOAT32, width]
    cublas, times = Cublas(cupy), round(case.steps * case.workload.flops / (2 * width * width))

    def products() -> None:
        for _ in range(times):
            cublas.gemm(*numbers, COMPUTE_32F, -1)
        cupy.cuda.Device().synchronize()

    products.kept = (x, weight, y, one, zero)  # type: ignore[attr-defined]
    return repeat(products)


def prepare(case: Case) -> None:
    """Compile what torch and NVRTC keep on disk."""
    task, order = make_task(case.workload, precision=case.precision), case.order()[:4]
    for name in (OURS[0], *(() if REHEARSAL else SLOW)):
        try:
            ready(name, task, DEVICE if name.startswith(PREFIX) else PEERS_DEVICE, order)
        except Skipped as reason:
            print(f"{name}: {reason}")


def prepare_all() -> int:
    """Prepare each case in a process of its own, all at the same time."""
    command = [sys.executable, "-m", "benchmarks.device.steps", "prepare"]
    environment = os.environ | {"TORCHINDUCTOR_COMPILE_THREADS": "2"}  # of each; by default as many as there are cores
    numbers = range(1 if REHEARSAL else len(CASES))
    running = [subprocess.Popen([*command, str(i)], env=environment) for i in numbers]
    return max(abs(process.wait()) for process in running)


def main(argv: Sequence[str]) -> int:
    """Measure, or prepare all cases or one."""
    if argv[0] == "prepare":
        if argv[1].isdigit():
            prepare(CASES[int(argv[1])])
            return 0
        return prepare_all()
    settings = {"seconds": SECONDS, "peers on": PEERS_DEVICE, "tf32 override": os.environ.get("NVIDIA_TF32_OVERRIDE")}
    settings["torch.set_float32_matmul_precision"] = "high for tf32, else highest"
    settings["JAX's precision"] = "tensorfloat32 for tf32, highest for float32, default for bfloat16 arrays"
    return run_cases(Path(argv[0]), "steps", {case.name: partial(measure, case) for case in CASES}, **settings)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
