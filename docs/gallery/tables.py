"""
A table as it is
================

Texts, dates and gaps go straight into `TabularRegressor`: it finds out what each column is, encodes it, and trains one
of its recipes for tables. Quantiles of the residuals on held-out rows give every prediction an interval.
"""

import matplotlib.pyplot as plt
import numpy as np

from mlpcore.tabular import TabularRegressor

rng = np.random.default_rng(0)
n = 1200
towns = np.array(["Bonn", "Graz", "Oslo", "Rome", "Split"])
town = rng.integers(0, 5, n)
size = rng.lognormal(4.2, 0.4, n)
year = rng.integers(1900, 2025, n)
sold = np.datetime64("2022-01-01") + rng.integers(0, 1000, n)
age = (2025 - year) / 100
price = (
    size
    * (np.array([2.2, 1.9, 4.0, 3.2, 1.6])[town] - age * (age < 0.8))
    * (1 + (sold - sold.min()).astype(int) / 4000)
)
price = 1000 * price * rng.lognormal(0, 0.12, n)

flats = {
    "town": np.where(rng.random(n) < 0.05, "", towns[town]),  # an empty text is a gap
    "size": np.where(rng.random(n) < 0.1, np.nan, size),
    "year": year,
    "sold": sold,
}
train, test = ({name: column[rows] for name, column in flats.items()} for rows in (slice(0, 1000), slice(1000, n)))
model = TabularRegressor("realmlp-s", max_epochs=40, random_state=0).fit(train, price[:1000])
for column in model.encoder_.columns:
    print(f"{column.name}: {column.kind}, {column.reason}")

# %%
# Where the size of a flat is missing, its price is anyone's guess: these are the points far from the diagonal.

low, high = model.predict(test, quantiles=[0.1, 0.9]).T / 1000
middle, truth = model.predict(test) / 1000, price[1000:] / 1000
gap = np.isnan(test["size"])
fig, axis = plt.subplots(figsize=(7, 5.5), layout="constrained")
axis.plot([0, 700], [0, 700], "k:", linewidth=1)
axis.vlines(truth, low, high, color="gray", alpha=0.3, linewidth=1)
for rows, colour, name in ((~gap, "C0", "size is known"), (gap, "C1", "size is missing")):
    axis.plot(truth[rows], middle[rows], "o", color=colour, markersize=4, label=name)
inside = np.mean((truth > low) & (truth < high))
axis.set(
    xlabel="price, thousand",
    ylabel="predicted price, thousand",
    title=f"R² {model.score(test, 1000 * truth):.2f}; {inside:.0%} within 10 % to 90 %",
)
axis.legend()
plt.show()
