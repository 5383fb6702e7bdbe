"""
A decision boundary takes shape
===============================

Two moons, and the probability that a small network gives to each point of the plane after 1, 5, 20 and 200 epochs.
A fit continues where the last one stopped.
"""

import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import make_moons

import mlpcore as mc

x, y = make_moons(400, noise=0.2, random_state=0)
net = mc.Sequential(mc.Linear(2, 32), mc.Tanh(), mc.Linear(32, 32), mc.Tanh(), mc.Linear(32, 1))
model = mc.Model(net, mc.SigmoidCrossEntropy(), mc.Adam(0.01), metrics=["accuracy"])

# %%
# The grid is one array of points; a prediction is one call.

columns, rows = np.meshgrid(np.linspace(-1.8, 2.8, 150), np.linspace(-1.4, 1.9, 120))
points = np.stack([columns.ravel(), rows.ravel()], axis=1)

fig, axes = plt.subplots(1, 4, figsize=(12, 3.3), layout="constrained", sharey=True)
done = 0
for axis, epochs in zip(axes, (1, 5, 20, 200), strict=True):
    model.fit(x, y, epochs=epochs - done, batch_size=32)
    done = epochs
    probability = model.predict(points).reshape(columns.shape)
    filled = axis.contourf(columns, rows, probability, levels=np.linspace(0, 1, 11), cmap="RdBu_r", alpha=0.8)
    axis.contour(columns, rows, probability, levels=[0.5], colors="black")
    axis.scatter(*x.T, c=y, cmap="RdBu_r", edgecolors="white", s=18, linewidths=0.6)
    axis.set(title=f"{epochs} epochs, accuracy {model.evaluate(x, y)['accuracy']:.2f}", xticks=[], yticks=[])
fig.colorbar(filled, ax=axes, label="probability of the red class")
plt.show()
