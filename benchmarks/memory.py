"""How much memory a fit on 1 GB of float32 rows takes at its peak, the data included: a process of its own, on NumPy.

With ``--steps`` it is what a fit of two batches takes at its peak beside its data, parameters and optimizer's state,
eager and compiled, for every workload (NumPy's own count of its arrays).

Run ``python -m benchmarks.memory --out benchmarks/results/memory-NAME.json``. The peak is the process's largest
resident size, so that Python, the libraries and the labels count too. To be reached: the data and 300 MB.
"""

import argparse
import json
import subprocess
import sys
import tracemalloc
from collections.abc import Sequence
from dataclasses import replace

from benchmarks.results import Writer
from mlpcore.bench.workloads import WORKLOADS, Workload, make_task
from mlpcore.losses import SoftmaxCrossEntropy
from mlpcore.model import Model
from mlpcore.optimizers import Adam

PEAK = """
import json, resource, sys
from pathlib import Path
def peak():
    try:  # Linux: of this program; ru_maxrss begins with the peak of the process that started it
        lines = Path("/proc/self/status").read_text().splitlines()
        return 1024 * next(int(line.split()[1]) for line in lines if line.startswith("VmHWM"))
    except OSError:
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)
"""
SCRIPT = f"""{PEAK}
import numpy as np
import mlpcore as mc
from mlpcore.bench.workloads import Workload
imported = peak()
rows, widths, batch = json.loads(sys.argv[1])
rng = np.random.default_rng(0)
x = np.empty((rows, widths[0]), dtype="float32")
rng.standard_normal(out=x, dtype="float32")
y = rng.integers(0, widths[-1], rows, dtype="int32")
before = peak()
net = Workload("memory", batch, tuple(widths), 1).network()
model = mc.Model(net, mc.SoftmaxCrossEntropy(), mc.Adam(1e-3))
model.fit(x, y, epochs=1, batch_size=batch)
print(json.dumps({{"data": x.nbytes, "imported": imported, "before": before, "peak": peak()}}))
"""


def measure(gigabytes: float = 1.0, widths: Sequence[int] = (256, 128, 10), batch: int = 1024) -> dict[str, int]:
    """Bytes: the data, and the peak after the imports, before the fit and after it."""
    rows = int(gigabytes * 1e9) // (4 * widths[0])
    command = [sys.executable, "-c", SCRIPT, json.dumps([rows, list(widths), batch])]
    return json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout)


def of_a_step(workload: Workload, compiled: bool) -> int:
    """The bytes that a fit of two batches allocates at its peak."""
    task = make_task(replace(workload, steps=2))
    model = Model(workload.network(), SoftmaxCrossEntropy(), Adam(1e-3), compile=compiled)
    model.fit(task.x, task.y, epochs=1, batch_size=workload.batch)  # what is made once
    if compiled and model.compiled.kind != "C":
        raise RuntimeError(f"{workload.name} is not compiled: {model.compiled}")
    model = Model(workload.network(), SoftmaxCrossEntropy(), Adam(1e-3), compile=compiled)
    tracemalloc.start()
    model.fit(task.x, task.y, epochs=1, batch_size=workload.batch)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    return peak


def main(argv: Sequence[str] | None = None) -> None:
    """Measure, print and write."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", help="the JSON file to write")
    parser.add_argument("--gigabytes", type=float, default=1.0)
    parser.add_argument("--steps", action="store_true", help="measure the steps of all workloads instead")
    arguments = parser.parse_args(argv)
    if arguments.steps:
        for workload in WORKLOADS:
            eager, compiled = (of_a_step(workload, compile) / 1e6 for compile in (False, True))
            print(f"{workload.name:8} {workload.shape:24} eager {eager:8.2f} MB, compiled {compiled:8.2f} MB")
        return
    bytes_of = measure(arguments.gigabytes)

    about = {"what": "memory", "workload": "256-128-10", "batch": 1024, "widths": [256, 128, 10], "dtype": "float32"}
    writer = Writer(arguments.out, "cpu")
    writer.add([about | {"device": "cpu", "contender": "mlpcore numpy", "bytes": bytes_of}])
    print(line(bytes_of))


def line(bytes_of: dict[str, int]) -> str:
    """The result in words."""
    data, before, peak = (bytes_of[key] / 1e6 for key in ("data", "before", "peak"))
    return (
        f"peak of the process {peak:,.0f} MB: the data {data:,.0f} MB + {peak - data:,.0f} MB, "
        f"of which {before - data:,.0f} MB were there before the fit"
    )


if __name__ == "__main__":
    main()
