"""CuPy arrays in and out: data that are on a GPU stay there.

Runs on a GPU, and in the project's tests on an emulated device (`cuda_on_cpu`). Quality: the error beside that of the
mean, the same weights as on the CPU to rounding, and results that are CuPy's.
"""

import cupy as cp
import numpy as np

import mlpcore as mc

rng = np.random.default_rng(7)
host = rng.normal(size=(2048, 6)).astype("float32")
target = (np.sin(host[:, :1]) + host[:, 1:2] * host[:, 2:3]).astype("float32")
x, y = cp.asarray(host), cp.asarray(target)  # in a program of yours: results of other kernels


def model(backend: str) -> mc.Model:
    """The same model, with the same initial weights and row orders, on any backend."""
    net = mc.Sequential(mc.Linear(6, 48), mc.GELU(), mc.Linear(48, 1))
    return mc.Model(net, mc.HalfSquaredError(), mc.Adam(1e-2), backend=backend, seed=0)


device = model("cupy")
device.fit(x[:1536], y[:1536], epochs=30, batch_size=128)
predicted = device.predict(x[1536:])
gradient = device.input_gradient(x[1536:])
print(type(predicted).__module__, predicted.shape, "the gradient too:", type(gradient).__module__)

error = float(cp.mean((predicted - y[1536:]) ** 2))
trivial = float(cp.var(y[1536:]))
print(f"mean squared error {error:.4f}, of the mean {trivial:.4f}")

# One epoch on the CPU and on the device: the same draws, products that round differently.
pair = [model("numpy"), model("cupy")]
for one in pair:
    one.fit(host, target, epochs=1)
apart = np.abs(pair[0].predict(host) - pair[1].predict(host)).max()
print(f"after one epoch the two are {apart:.1e} apart")

assert isinstance(predicted, cp.ndarray) and isinstance(gradient, cp.ndarray)
assert error < 0.1 * trivial
assert apart < 1e-3
