"""
Quantiles of a target
=====================

The loss `mc.Quantile` (here ``loss="quantile"``) makes a network predict several quantiles at once: a band that is wide
where the target scatters much. No distribution is assumed.
"""

import warnings

import matplotlib.pyplot as plt
import numpy as np

from mlpcore.sklearn import MLPRegressor

warnings.simplefilter("ignore")  # a fixed number of epochs: scikit-learn's ConvergenceWarning says so
rng = np.random.default_rng(0)
x = np.sort(rng.uniform(-3, 3, size=1500))
scatter = 0.1 + 0.25 * (1 + np.sin(2 * x)) ** 2
y = np.sin(x) + scatter * rng.gumbel(size=len(x))  # a skewed noise, whose width changes

regressor = MLPRegressor(
    "quantile", (48, 48), "gelu", learning_rate="cosine", learning_rate_init=0.01, max_iter=80, random_state=0
)
regressor.fit(x[:, None], y)

# %%
# The columns of ``predict_quantiles`` are the 10 %, 50 % and 90 % quantiles, unless others are asked for.

grid = np.linspace(-3, 3, 300)
low, middle, high = regressor.predict_quantiles(grid[:, None]).T
inside = np.mean((y > np.interp(x, grid, low)) & (y < np.interp(x, grid, high)))

fig, axis = plt.subplots(figsize=(8.5, 4.5), layout="constrained")
axis.scatter(x, y, s=6, color="gray", alpha=0.5, label="rows")
axis.fill_between(grid, low, high, color="C0", alpha=0.25, label=f"10 % to 90 %: {inside:.0%} of the rows are inside")
axis.plot(grid, middle, "C0", linewidth=2, label="median")
gumbel = np.sin(grid) - (0.1 + 0.25 * (1 + np.sin(2 * grid)) ** 2) * np.log(np.log(2))
axis.plot(grid, gumbel, "k--", linewidth=1, label="true median")
axis.set(xlabel="x", ylabel="y", title="Quantile regression by a network of 48-48 units")
axis.legend(loc="upper left")
plt.show()
