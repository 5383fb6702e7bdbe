"""Single operations: each primitive's faster body beside its reference body, on one backend.

Run ``python -m benchmarks.operations --backend numpy --out benchmarks/results/ops-NAME.json``.
"""

import argparse
import math
import statistics
import time
from collections.abc import Iterable, Sequence

from benchmarks.cases import CASES, LARGE, SHAPES, bodies
from benchmarks.results import Writer
from mlpcore.backends import get_backend
from mlpcore.backends.backend import Backend
from mlpcore.bench.measure import alternate, repeat
from mlpcore.bench.suite import Record
from mlpcore.bench.tables import NONE, Table, as_text, ratio

DTYPES = ("float32", "float64")


def operations(
    backend: Backend, rounds: int, seconds: float, until: float = math.inf, dtypes: Iterable[str] = DTYPES
) -> Iterable[list[Record]]:
    """The records of one primitive at one shape and dtype after the other, until the clock shows ``until``."""
    shapes = (*SHAPES, LARGE) if "cuda" in str(backend.device) else SHAPES
    for dtype in dtypes:
        for name in CASES:
            for shape in shapes:
                if time.perf_counter() > until:
                    return
                runs = {kind: repeat(call) for kind, call in bodies(name, backend, shape, dtype).items()}
                for run in runs.values():
                    run(1)
                about = about_operation(name, backend, shape, dtype)
                taken = alternate(runs, rounds, seconds)
                yield [about | {"contender": f"{backend.name} {kind}", "seconds": s} for kind, s in taken.items()]


def about_operation(name: str, backend: Backend, shape: tuple[int, int], dtype: str) -> Record:
    """What a record of an operation holds besides its times; an operation is one of its ``rows``."""
    about = {"what": "operation", "workload": name, "batch": shape[0], "widths": [shape[1]], "dtype": dtype}
    return about | {"device": str(backend.device), "rows": 1, "flops": 0}


def operations_table(records: list[Record]) -> Table:
    """Microseconds of the reference body and of the faster body, and how many times as fast it is."""
    merged: dict[tuple, dict[str, Record]] = {}
    for record in records:
        if record["what"] == "operation":
            backend, _, kind = record["contender"].partition(" ")
            key = record["workload"], record["batch"], record["widths"][0], record["dtype"], backend
            merged.setdefault(key, {})[kind] = record
    rows = []
    for (name, n, width, dtype, backend), found in merged.items():
        gain = ratio(found.get("kernel"), found.get("body"))
        times = [_micro(found.get(kind)) for kind in ("body", "kernel")]
        size = f"{n} x {width}"
        rows.append([name, size, dtype, backend, *times, NONE if gain is None else f"{gain:.2f} x"])
        for kind in found.keys() - {"body", "kernel"}:  # another way, in the place of the faster body
            gain = ratio(found[kind], found.get("body"))
            shown = NONE if gain is None else f"{gain:.2f} x"
            rows.append([f"{name}, {kind}", size, dtype, backend, times[0], _micro(found[kind]), shown])
    head = ["operation", "rows x columns", "dtype", "backend", "reference, us", "faster body, us", "gain"]
    return Table("single operations", head, rows)


def _micro(record: Record | None) -> str:
    return NONE if record is None else f"{1e6 * statistics.median(record['seconds']):.4g}"


def main(argv: Sequence[str] | None = None) -> None:
    """Measure, write and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--backend", default="numpy")
    parser.add_argument("--out", help="the JSON file to write")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=0.1)
    arguments = parser.parse_args(argv)
    backend = get_backend(arguments.backend)
    device = "cuda" if "cuda" in str(backend.device) else "cpu"
    writer = Writer(arguments.out, device, rounds=arguments.rounds, seconds=arguments.seconds)
    for records in operations(backend, arguments.rounds, arguments.seconds):
        writer.add(records)
    print(as_text(operations_table(writer.records)))


if __name__ == "__main__":
    main()
