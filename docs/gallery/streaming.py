"""
Rows that keep coming
=====================

A stream whose truth turns slowly. One classifier is trained on the first rows and then left alone; the other calls
``partial_fit`` with every batch, after it has predicted it. Rows that lie in a file are read batch by batch
through ``np.load(path, mmap_mode="r")``.
"""

import tempfile
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np

from mlpcore.sklearn import MLPClassifier

rng = np.random.default_rng(0)
angle = np.linspace(0, np.pi, 30_000)  # half a turn from the first row to the last
x = rng.normal(size=(len(angle), 2))
turned = x[:, 0] * np.cos(angle) + x[:, 1] * np.sin(angle)
labels = (turned + 0.3 * np.sin(3 * x[:, 0]) + rng.normal(scale=0.1, size=len(x)) > 0).astype(int)

with tempfile.TemporaryDirectory() as folder:
    np.save(Path(folder) / "rows.npy", x.astype("float32"))
    rows = np.load(Path(folder) / "rows.npy", mmap_mode="r")

    frozen = MLPClassifier(32, learning_rate_init=0.01, random_state=0).fit(rows[:2000], labels[:2000])
    learning = MLPClassifier(32, learning_rate_init=0.01, random_state=0)
    learning.partial_fit(rows[:2000], labels[:2000], classes=[0, 1])
    right = {"trained once": [], "partial_fit with every batch": []}
    for start in range(2000, len(rows), 200):
        batch, truth = rows[start : start + 200], labels[start : start + 200]
        for name, model in zip(right, (frozen, learning), strict=True):
            right[name].append(np.mean(model.predict(batch) == truth))
        learning.partial_fit(batch, truth)

# %%
# Every batch is predicted before it is learnt, so that no accuracy is that of rows which the network has seen.

fig, axis = plt.subplots(figsize=(8.5, 4.2), layout="constrained")
starts = np.arange(2000, len(x), 200)
for number, (name, values) in enumerate(right.items()):
    axis.plot(starts, values, f"C{number}", alpha=0.25)
    axis.plot(starts[9:], np.convolve(values, np.ones(10) / 10, "valid"), f"C{number}", linewidth=2, label=name)
axis.set(xlabel="rows of the stream", ylabel="accuracy on the next 200 rows", title="The truth turns by 180 degrees")
axis.legend(loc="lower left")
plt.show()
