"""Counts with Poisson: how many bicycles are hired in an hour? The loss of counts keeps predictions positive.

Quality: the Poisson deviance beside that of the mean count, and of a log-linear model.
"""

import warnings

import numpy as np
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import PoissonRegressor
from sklearn.metrics import mean_poisson_deviance
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from mlpcore.sklearn import MLPRegressor

rng = np.random.default_rng(2)
n = 5000
hour, weekend = rng.integers(0, 24, n), rng.uniform(size=n) < 2 / 7
temperature, rain = rng.normal(14, 8, n), rng.exponential(0.5, n) * (rng.uniform(size=n) < 0.3)

# Two rush hours on working days, one broad peak at weekends; nobody likes rain, frost or heat.
rush = np.exp(-((hour - 8) ** 2) / 3) + np.exp(-((hour - 17.5) ** 2) / 5)
leisure = np.exp(-((hour - 14) ** 2) / 20)
rate = np.exp(np.where(weekend, 3.2 * leisure, 3.0 * rush) - 0.8 * rain - ((temperature - 20) / 18) ** 2 + 1)
hired = rng.poisson(rate)

X = np.column_stack([np.sin(hour / 24 * 2 * np.pi), np.cos(hour / 24 * 2 * np.pi), hour, weekend, temperature, rain])
train, test = slice(0, 4000), slice(4000, n)

network = make_pipeline(
    StandardScaler(), MLPRegressor("poisson", (64, 64), max_iter=60, learning_rate_init=3e-3, random_state=0)
)
linear = make_pipeline(StandardScaler(), PoissonRegressor(max_iter=300))
with warnings.catch_warnings():
    warnings.simplefilter("ignore", ConvergenceWarning)  # 60 epochs are enough for this page
    network.fit(X[train], hired[train])
linear.fit(X[train], hired[train])

counts = network.predict(X[test])
deviance = mean_poisson_deviance(hired[test], counts)
of_linear = mean_poisson_deviance(hired[test], linear.predict(X[test]))
of_mean = mean_poisson_deviance(hired[test], np.full(n - 4000, hired[train].mean()))
possible = mean_poisson_deviance(hired[test], rate[test])  # of the rates that the counts were drawn with
print(f"deviance {deviance:.2f}; log-linear {of_linear:.2f}, mean {of_mean:.2f}, true rates {possible:.2f}")

assert (counts > 0).all()
assert deviance < 0.5 * of_linear and deviance < 0.3 * of_mean
