"""Rows that are streamed to the device give the bits of rows that lie there: parameters and losses."""

import sys
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np

import mlpcore as mc
from benchmarks.device.cases import REHEARSAL
from benchmarks.device.files import Record
from benchmarks.device.running import run_cases
from mlpcore.training.ingest import data_backend

ROWS, BATCH = (21_500, 4096) if REHEARSAL else (120_000, 512)  # times 784 columns: more than one buffer of 64 MiB
HIDDEN = 4 if REHEARSAL else 256


def compare(precision: str, compile: bool | str) -> list[Record]:
    """Two epochs both ways, with BatchNorm, Dropout and a ragged last batch."""
    rng = np.random.default_rng(0)
    x, y = rng.standard_normal((ROWS, 784), dtype="float32"), rng.integers(0, 10, ROWS)
    backend = mc.get_backend("cupy")
    full = replace(backend, extras=replace(backend.extras, free_memory=lambda: 0))
    assert data_backend(x, full, "float32").name == "numpy" and data_backend(x, backend, "float32") is backend
    net = mc.Sequential(mc.Linear(784, HIDDEN), mc.BatchNorm(HIDDEN), mc.ReLU(), mc.Dropout(0.2), mc.Linear(HIDDEN, 10))
    bits, losses = [], []
    for place in (backend, full):
        words = {"backend": place, "precision": precision, "compile": compile}
        model = mc.Model(net, mc.SoftmaxCrossEntropy(), mc.AdamW(1e-3), **words)
        history = model.fit(x, y, epochs=2, batch_size=BATCH)
        bits.append({name: backend.to_numpy(array) for name, array in model.snapshot().items()})
        losses.append(history.loss)
    different = [name for name, array in bits[0].items() if array.tobytes() != bits[1][name].tobytes()]
    record = {"rows": ROWS, "losses": losses, "different arrays": different}
    equal = not different and losses[0] == losses[1] and bool(np.all(np.isfinite(losses)))
    return [record if equal else record | {"failed": "the bits differ"}]


def main(argv: Sequence[str]) -> int:
    """Compare."""
    modes = [("highest", "auto"), ("highest", True), ("bfloat16", True)]
    cases = {
        f"{precision}{', captured' if compile is True else ''}": partial(compare, precision, compile)
        for precision, compile in modes[: 1 if REHEARSAL else None]
    }
    return run_cases(Path(argv[0]), "streamed", cases)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
