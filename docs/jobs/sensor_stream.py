"""Sensor streams larger than memory: rows in a file are read where they lie, block by block.

The file here has 134 MB, so that the page runs in seconds; the program is the same for 640 GB. Quality: the error
beside that of the mean, and the memory that the fit takes beside the size of the file.
"""

import tempfile
import tracemalloc
from pathlib import Path

import numpy as np

import mlpcore as mc

ROWS, SENSORS, BLOCK = 1 << 19, 64, 1 << 15


def readings(rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """A block of readings (rows, sensors), and the wear of the machine (rows, 1) that they indicate."""
    x = rng.normal(size=(BLOCK, SENSORS)).astype("float32")
    wear = np.tanh(x[:, :1] * x[:, 1:2]) + 0.5 * np.abs(x[:, 2:3]) + 0.1 * rng.normal(size=(BLOCK, 1))
    return x, wear.astype("float32")


with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
    path, rng = Path(folder) / "readings.npy", np.random.default_rng(5)
    file = np.lib.format.open_memmap(path, mode="w+", dtype="float32", shape=(ROWS, SENSORS))
    wear = np.empty((ROWS, 1), "float32")
    for begin in range(0, ROWS, BLOCK):
        file[begin : begin + BLOCK], wear[begin : begin + BLOCK] = readings(rng)
    file.flush()
    del file

    stream = np.load(path, mmap_mode="r")  # reads nothing yet
    net = mc.Sequential(mc.Linear(SENSORS, 32), mc.SiLU(), mc.Linear(32, 16), mc.SiLU(), mc.Linear(16, 1))
    model = mc.Model(net, mc.HalfSquaredError(), mc.Adam(3e-3), seed=0)
    tracemalloc.start()
    model.fit(stream, wear, epochs=1, batch_size=512, shuffle="blocks")
    taken = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    size = path.stat().st_size
    del stream  # as Windows deletes no file that is mapped

x, y = readings(np.random.default_rng(6))
error, trivial = float(np.mean((model.predict(x) - y) ** 2)), float(np.var(y))
print(f"mean squared error {error:.4f}, of the mean {trivial:.4f}, of the noise 0.01")
print(f"memory of the fit {taken / 1e6:.0f} MB, file {size / 1e6:.0f} MB")

assert error < 0.1 * trivial
assert taken < size / 3
