"""The first thing to fail: importing everything, a tiny fit and a prediction on the device, with each precision."""

import sys
import time
from collections.abc import Callable, Sequence
from functools import partial
from importlib import import_module
from pathlib import Path

import numpy as np

import mlpcore as mc
from benchmarks.device.cases import REHEARSAL
from benchmarks.device.files import Record
from benchmarks.device.running import run_cases


def fit(precision: str, compile: bool | str) -> list[Record]:
    """Losses that fall, and predictions that NumPy agrees with."""
    rng = np.random.default_rng(0)
    x = rng.standard_normal((300, 6)).astype("float32")
    y = np.argmax(x @ rng.standard_normal((6, 3)), axis=1)
    net = mc.Sequential(mc.Linear(6, 16), mc.ReLU(), mc.Dropout(0.1), mc.Linear(16, 3))
    words = {"backend": "cupy", "precision": precision, "compile": compile}
    model = mc.Model(net, mc.SoftmaxCrossEntropy(), mc.Adam(1e-2), **words)
    history = model.fit(x, y, epochs=5, batch_size=10)
    there = model.backend.to_numpy(model.predict(model.backend.asarray(x)))
    params = [{k: model.backend.to_numpy(v) for k, v in leaf.items()} for leaf in model.params]
    here = mc.Model(net, mc.SoftmaxCrossEntropy(), params=tuple(params)).predict(x)
    distance = float(np.abs(there - here).max())
    assert history.loss[-1] < 0.8 * history.loss[0], history.loss
    assert distance < (1e-5 if precision == "highest" else 5e-2), distance
    return [{"kind": model.compiled.kind, "losses": history.loss, "distance of predictions": distance}]


def imports() -> list[Record]:
    """The seconds that each library takes to import, and on which device it computes."""
    records = []
    for name in ("cupy", "torch", "jax", "sklearn"):
        began = time.perf_counter()
        try:
            module = import_module(name)
        except ImportError as error:
            records.append({"library": name, "skipped": str(error)})
            continue
        record: Record = {"library": name, "version": module.__version__}
        if name == "torch":
            record |= {"cuda": module.version.cuda, "available": module.cuda.is_available()}
        if name == "jax":
            record |= {"devices": [str(device) for device in module.devices()]}
        if name == "cupy":
            record |= {"free, total bytes": list(module.cuda.runtime.memGetInfo())}
        records.append(record | {"seconds": round(time.perf_counter() - began, 2)})
    return records


def main(argv: Sequence[str]) -> int:
    """Try them."""
    modes = [("highest", "auto"), ("highest", True), ("tf32", True), ("bfloat16", True)]
    cases: dict[str, Callable[[], list[Record]]] = {
        f"fit, {precision}{', captured' if compile is True else ''}": partial(fit, precision, compile)
        for precision, compile in modes[: 2 if REHEARSAL else None]
    }
    return run_cases(Path(argv[0]), "first", {**cases, "imports": imports})


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
