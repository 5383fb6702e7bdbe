"""
A layer of your own
===================

A sine as activation (Sitzmann et al. 2020) in a dozen lines: the function, and under it its derivative.
`mc.check_gradients` compares the two. From then on the layer trains like those of the library.
"""

import matplotlib.pyplot as plt
import numpy as np

import mlpcore as mc
from mlpcore.configuration import configuration
from mlpcore.namespace import namespace


@configuration
class Sine(mc.Activation):
    """``y = sin(frequency * x)``, ``dx = frequency * cos(frequency * x) * dy``."""

    frequency: float = 8.0

    def activate(self, x):
        """The sine; the cache is ``frequency * x``."""
        phase = self.frequency * x
        return namespace(x).sin(phase), phase

    def gradient(self, cache, dy):
        """``frequency * cos(frequency * x) * dy``."""
        return self.frequency * namespace(dy).cos(cache) * dy


print(mc.check_gradients(Sine()))

# %%
# A signal with many waves, which is hard for a tanh.

x = np.linspace(-1, 1, 512)[:, None]
y = np.sin(30 * x**3) * np.exp(-(x**2)) + 0.3 * np.sign(x - 0.2)

fig, axes = plt.subplots(2, 1, figsize=(9, 5.5), layout="constrained", sharex=True)
for axis, activation in zip(axes, (mc.Tanh(), Sine()), strict=True):
    net = mc.Sequential(mc.Linear(1, 64), activation, mc.Linear(64, 64), activation, mc.Linear(64, 1))
    model = mc.Model(net, mc.HalfSquaredError(), mc.Adam(mc.CosineDecay(4e-3, 400 * 8)))
    history = model.fit(x, y, epochs=400, batch_size=64)
    axis.plot(x, y, color="gray", linewidth=3, alpha=0.5, label="signal")
    axis.plot(x, model.predict(x), "C1" if activation == mc.Tanh() else "C0", linewidth=1.2, label="network")
    axis.set(title=f"{type(activation).__name__}: loss {history.loss[-1]:.5f} after 400 epochs", ylabel="y")
axes[0].legend(loc="lower left")
axes[1].set(xlabel="x")
plt.show()
