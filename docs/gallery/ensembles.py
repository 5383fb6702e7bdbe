"""
Twenty-four networks are better than one
========================================

A `mc.Stack` trains networks side by side, which differ in their seeds; a `mc.Ensemble` averages what they predict. What
a single network gains by chance, all of them gain for sure, and where they disagree the label is often wrong.
"""

import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split

import mlpcore as mc

x, y = load_digits(return_X_y=True)
x, x_test, y, y_test = train_test_split(x / 16, y, train_size=400, stratify=y, random_state=0)
net = mc.Sequential(mc.Linear(64, 24), mc.ReLU(), mc.Linear(24, 10))
stack = mc.Stack([mc.Model(net, mc.SoftmaxCrossEntropy(), mc.Adam(5e-3), seed=seed) for seed in range(24)])
stack.fit(x, y, epochs=25, batch_size=32)

# %%
# Random choices of k of the networks, thirty for each k.

members = stack.predict(x_test)  # (24, rows, classes)
rng = np.random.default_rng(0)
sizes = [1, 2, 3, 4, 6, 8, 12, 16, 24]
accuracies = [
    [
        np.mean(members[rng.choice(24, k, replace=False)].mean(axis=0).argmax(axis=1) == y_test)
        for _ in range(30 if k < 24 else 1)
    ]
    for k in sizes
]
votes = mc.Ensemble(stack).votes(x_test)
wrong = votes.argmax(axis=1) != y_test

fig, (left, right) = plt.subplots(1, 2, figsize=(10.5, 4.2), layout="constrained")
left.boxplot(accuracies, tick_labels=sizes)
left.set(xlabel="networks in the ensemble", ylabel="accuracy", title="1,397 test rows")
edges = np.linspace(0, 1, 11)
right.hist(
    [votes.max(axis=1)[~wrong], votes.max(axis=1)[wrong]],
    bins=edges,
    log=True,
    label=["right", "wrong"],
    color=["C0", "C1"],
)
right.set(xlabel="share of the networks that agree", ylabel="rows", title="Agreement tells right from wrong")
right.legend(loc="upper left")
plt.show()
