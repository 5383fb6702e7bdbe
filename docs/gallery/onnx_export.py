"""
The same numbers in onnxruntime
===============================

A trained model as an ONNX file, and its predictions beside those of the library. Both compute in float32, in another
order of the sums, so that they agree to rounding: some units of 2\\ :sup:`-24`.
"""

import matplotlib.pyplot as plt
import numpy as np
import onnxruntime
from sklearn.datasets import load_digits

import mlpcore as mc
from mlpcore.onnx import to_onnx

x, y = load_digits(return_X_y=True)
x = (x / 16).astype("float32")
net = mc.Sequential(mc.Linear(64, 64), mc.LayerNorm(64), mc.GELU(), mc.Dropout(0.2), mc.Linear(64, 10))
model = mc.Model(net, mc.SoftmaxCrossEntropy(), mc.AdamW(3e-3))
model.fit(x[:1500], y[:1500], epochs=15)

exported = to_onnx(model, classes=[str(digit) for digit in range(10)])
session = onnxruntime.InferenceSession(exported.SerializeToString())
labels, probabilities = session.run(["label", "probabilities"], {"X": x})
expected = model.predict(x)
same = np.all(labels.astype(int) == expected.argmax(axis=1))
print(f"{len(exported.SerializeToString()) / 1024:.0f} KiB, the same labels: {same}")

# %%
# On the left every probability, on the right how often each difference occurs, in units of 2\ :sup:`-24`.

difference = (probabilities - expected).ravel() * 2.0**24
assert np.abs(difference).max() < 64

fig, (left, right) = plt.subplots(1, 2, figsize=(10, 4.2), layout="constrained")
left.loglog(expected.ravel(), probabilities.ravel(), ".", markersize=2, alpha=0.4)
left.plot([1e-9, 1], [1e-9, 1], "k:", linewidth=1)
left.set(
    xlabel="probability by mlpcore",
    ylabel="probability by onnxruntime",
    title="17,970 probabilities",
    xlim=(1e-9, 2),
    ylim=(1e-9, 2),
)
right.hist(difference, bins=np.arange(-20.5, 21), log=True, color="C1")
right.set(
    xlabel="difference in units of $2^{-24}$", ylabel="number", title=f"largest: {np.abs(difference).max():.1f} units"
)
plt.show()
