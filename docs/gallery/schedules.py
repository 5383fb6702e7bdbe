"""
Learning rates over time
========================

Every schedule of the library is a function of the number of updates. It stands in the place of a number: of a learning
rate, a weight decay, or the rate of a Dropout.
"""

import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import load_digits

import mlpcore as mc

steps = 400
schedules = {
    "constant": 0.01,
    "StepDecay": mc.StepDecay(0.01, every=100, factor=0.4),
    "ExponentialDecay": mc.ExponentialDecay(0.01, every=100, factor=0.4),
    "CosineDecay": mc.CosineDecay(0.01, steps),
    "FlatCosine": mc.FlatCosine(0.01, steps),
    "PolynomialDecay": mc.PolynomialDecay(0.01, steps),
    "InverseScaling": mc.InverseScaling(0.01, 0.5),
    "WarmUp": mc.WarmUp(mc.CosineDecay(0.01, steps - 60), steps=60),
    "OneCycle": mc.OneCycle(0.02, steps),
    "CosLog": mc.CosLog(0.02, steps),
}

# %%
# The rate as a filled curve, and what it does to the loss of a network on the digits: four epochs of 100 steps.

x, y = load_digits(return_X_y=True)
x, y = x[:1600] / 16, y[:1600]
fig, axes = plt.subplots(2, 5, figsize=(13, 5), layout="constrained", sharex=True, sharey=True)
for axis, (name, schedule) in zip(axes.flat, schedules.items(), strict=True):
    net = mc.Sequential(mc.Linear(64, 32), mc.ReLU(), mc.Linear(32, 10))
    model = mc.Model(net, mc.SoftmaxCrossEntropy(), mc.Adam(schedule), compile=False)
    losses = model.fit(x, y, epochs=4, batch_size=16).loss
    counts = np.arange(steps)
    rates = [schedule(count) if callable(schedule) else schedule for count in counts]
    axis.fill_between(counts, np.array(rates, dtype=float), alpha=0.35)
    axis.set(title=f"{name}\nloss {losses[-1]:.3f}")
fig.supxlabel("updates")
fig.supylabel("learning rate")
plt.show()
