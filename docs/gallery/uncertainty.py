"""
Two kinds of uncertainty
========================

Eight networks with the loss "gaussian" predict a mean and a variance each. The noise of the data is what all of them
predict; what they do not know, because there are no rows, is where their means differ.
"""

import matplotlib.pyplot as plt
import numpy as np

from mlpcore.sklearn import MLPRegressor

rng = np.random.default_rng(1)
x = np.concatenate([rng.uniform(-4, -1, 150), rng.uniform(1, 3, 150)])  # a gap from -1 to 1, and nothing above 3
y = np.sin(2 * x) + rng.normal(scale=np.where(x < 0, 0.3, 0.08))

ensemble = MLPRegressor(
    "gaussian", (48, 48), "gelu", n_members=8, max_iter=150, learning_rate_init=0.01, random_state=0
)
ensemble.fit(x[:, None], y)

# %%
# The variance of the mixture is the mean of the members' variances, which is noise, and the variance of their means.

grid = np.linspace(-5, 4.5, 300)
mean, deviation = ensemble.predict(grid[:, None], return_std=True)
means = np.array([member.predict(grid[:, None]) for member in ensemble.estimators_])
unknown = means.std(axis=0)
noise = np.sqrt(np.maximum(deviation**2 - unknown**2, 0))

fig, (above, below) = plt.subplots(2, 1, figsize=(9, 6.5), layout="constrained", sharex=True, height_ratios=[3, 1.3])
above.plot(grid, means.T, color="C0", linewidth=0.7, alpha=0.6)
above.plot(grid, mean, "C0", linewidth=2.5, label="mean of eight networks")
above.fill_between(
    grid, mean - 2 * deviation, mean + 2 * deviation, color="C0", alpha=0.18, label="two deviations of the mixture"
)
above.scatter(x, y, s=9, color="black", alpha=0.6, label="rows")
above.set(ylabel="y", ylim=(-3.5, 3.5), title="Wide where rows scatter, and where there are none")
above.legend(loc="upper left", ncols=3)
below.plot(grid, noise, "C1", label="noise: the members' variance")
below.plot(grid, unknown, "C3--", label="unknown: the members differ")
below.set(xlabel="x", ylabel="deviation", yscale="log", ylim=(0.02, 3))
below.legend(loc="upper center", ncols=2)
plt.show()
