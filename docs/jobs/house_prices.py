"""House prices with gaps: a table with missing numbers and texts, predictions with intervals, and a file for later.

Quality: the mean absolute error beside that of the median price, and the share of prices inside the 80 % interval.
"""

import tempfile
from pathlib import Path

import numpy as np
import pandas as pd

from mlpcore.tabular import TabularRegressor, load

rng = np.random.default_rng(1)
n = 2500
area = rng.lognormal(4.7, 0.4, n)  # m2
age = rng.integers(0, 120, n)
town = rng.choice(["Bonn", "Köln", "Aachen", "Neuss"], n)
garden = rng.uniform(size=n) < 0.4
per_area = (
    2800 + 900 * (town == "Köln") + 500 * (town == "Bonn") - 12 * np.minimum(age, 60) + 25 * np.maximum(age - 90, 0)
)
price = area * per_area * (1 + 0.1 * garden) * rng.lognormal(0, 0.12, n)

houses = pd.DataFrame({"area": area, "age": age.astype(float), "town": town, "garden": garden})
houses.loc[rng.uniform(size=n) < 0.15, "age"] = np.nan
houses.loc[rng.uniform(size=n) < 0.05, "area"] = np.nan
houses.loc[rng.uniform(size=n) < 0.10, "town"] = None
train, test = slice(0, 1900), slice(1900, n)

model = TabularRegressor("realmlp-s", max_epochs=30, random_state=0).fit(houses[train], price[train])
predicted = model.predict(houses[test])
low, high = model.predict(houses[test], quantiles=[0.1, 0.9]).T

error = np.abs(predicted - price[test]).mean()
trivial = np.abs(np.median(price[train]) - price[test]).mean()
inside = np.mean((low <= price[test]) & (price[test] <= high))
print(f"mean absolute error {error:,.0f}, of the median {trivial:,.0f}; {inside:.0%} of the prices are in the interval")

# The file holds encoding, network and quantiles; it is data, never code. Another program loads it:
with tempfile.TemporaryDirectory() as folder:
    path = Path(folder) / "houses.safetensors"
    model.save(path)
    later = load(path).predict(houses[test])

assert error < 0.5 * trivial
assert 0.72 < inside < 0.88
assert np.array_equal(later.ravel(), predicted)
