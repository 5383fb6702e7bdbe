"""
Which pixels speak for a digit?
===============================

`Model.integrated_gradients` divides the score of a class among the pixels: the shares add up to the difference from the
score of a black image. Purple pixels speak for the first class of a pair, brown ones for the second.
"""

import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import load_digits

import mlpcore as mc

images, digits = load_digits(return_X_y=True)
images = images / 16
net = mc.Sequential(mc.Linear(64, 128), mc.GELU(), mc.Linear(128, 10))
model = mc.Model(net, mc.SoftmaxCrossEntropy(), mc.Adam(3e-3), dtype="float64")
model.fit(images[:1500], digits[:1500], epochs=15)

# %%
# Five pairs of classes that look alike. The shares are those of the difference of two scores.

pairs = [(7, 1), (9, 4), (3, 8), (5, 6), (2, 3)]
rows = [np.flatnonzero(digits[1500:] == first)[2] + 1500 for first, _ in pairs]
x = images[rows]
shares = np.stack(
    [
        model.integrated_gradients(x[[i]], first)[0] - model.integrated_gradients(x[[i]], second)[0]
        for i, (first, second) in enumerate(pairs)
    ]
)
scores, black = model.trainer.score(x), model.trainer.score(np.zeros((1, 64)))[0]
for i, (first, second) in enumerate(pairs):
    difference = (scores[i, first] - black[first]) - (scores[i, second] - black[second])
    assert np.isclose(shares[i].sum(), difference)

fig, axes = plt.subplots(2, 5, figsize=(10, 4.4), layout="constrained")
top = np.abs(shares).max()
for i, (first, second) in enumerate(pairs):
    axes[0, i].imshow(x[i].reshape(8, 8), cmap="gray")
    drawn = axes[1, i].imshow(shares[i].reshape(8, 8), cmap="PuOr", vmin=-top, vmax=top)
    axes[0, i].set(title=f"{first} rather than {second}", xticks=[], yticks=[])
    axes[1, i].set(xlabel=f"sum {shares[i].sum():.1f}", xticks=[], yticks=[])
fig.colorbar(drawn, ax=axes[1], label="share in the difference")
plt.show()
