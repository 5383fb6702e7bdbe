"""
One argument for another library
================================

``backend=`` says which library computes, and on which device. One seed gives the same weights, row orders and dropout
masks on all of them, so that training differs only by the rounding of sums. This program uses every backend that is
ready where it runs. The site was built on a machine without a GPU: there, CuPy is missing from the picture.
"""

import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import load_digits

import mlpcore as mc

for name, status in mc.available_backends().items():
    print(f"{name}: {status.partition(';')[0]}")
ready = [name for name, status in mc.available_backends().items() if status.startswith("ready")]

# %%
# The same network in float32 everywhere. An array of a backend's own library stays on its device: with
# ``backend="cupy"``, ``model.fit`` takes CuPy arrays and ``model.predict`` returns them.

x, y = load_digits(return_X_y=True)
x = (x[:600] / 16).astype("float32")
y = y[:600]
curves = {}
for name in ready:
    net = mc.Sequential(mc.Linear(64, 64), mc.ReLU(), mc.Dropout(0.2), mc.Linear(64, 10))
    model = mc.Model(net, mc.SoftmaxCrossEntropy(), mc.Adam(3e-3), backend=name)
    curves[name] = np.array(model.fit(x, y, epochs=12, batch_size=60).loss)

fig, (left, right) = plt.subplots(1, 2, figsize=(10, 4.2), layout="constrained")
for number, (name, losses) in enumerate(curves.items()):
    left.plot(range(1, 13), losses, f"C{number}", linewidth=6 - 2 * number, alpha=0.7, label=name)
    if name != "numpy":
        apart = np.maximum(np.abs(losses / curves["numpy"] - 1), 1e-9)
        right.semilogy(range(1, 13), apart, f"C{number}", marker="o", label=name)
left.set(xlabel="epoch", ylabel="loss", title="Loss of one seed")
left.legend()
right.axhline(2.0**-24, color="black", linestyle=":", label="unit roundoff of float32")
right.set(xlabel="epoch", ylabel="relative difference", title="Difference from NumPy", ylim=(1e-9, 1e-3))
right.legend()
plt.show()
