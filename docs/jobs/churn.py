"""Churn: which customers leave? A table with texts, dates and gaps, as a company's database gives it.

Quality: the area under the ROC curve, and the logarithmic loss beside that of the share of leavers for everyone.
"""

import numpy as np
import pandas as pd
from sklearn.metrics import log_loss, roc_auc_score

from mlpcore.tabular import TabularClassifier

rng = np.random.default_rng(0)
n = 3000
contract = rng.choice(["monthly", "yearly", "two years"], n, p=[0.55, 0.25, 0.2])
calls = rng.poisson(1.5, n)
fee = rng.gamma(6, 10, n)
joined = pd.Timestamp("2020-01-01") + pd.to_timedelta(rng.integers(0, 1500, n), "D")
years = (pd.Timestamp("2024-06-01") - joined).days / 365

# Who leaves: monthly contracts, many calls to the hotline, the more so the higher the fee; old customers stay.
score = 3 * (contract == "monthly") + 0.08 * (fee - 60) * (calls > 1) + 0.8 * calls - 1.2 * years - 0.5
leaves = np.where(rng.uniform(size=n) < 1 / (1 + np.exp(-score)), "leaves", "stays")

customers = pd.DataFrame({"contract": contract, "calls": calls, "fee": fee, "joined": joined})
customers.loc[rng.uniform(size=n) < 0.1, "fee"] = np.nan
customers.loc[rng.uniform(size=n) < 0.1, "contract"] = None
train, test = slice(0, 2200), slice(2200, n)

model = TabularClassifier("realmlp-s", max_epochs=25, random_state=0).fit(customers[train], leaves[train])
for column in model.encoder_.columns:
    print(f"{column.name}: {column.kind}, {column.reason}")

probability = model.predict_proba(customers[test])[:, 0]  # classes_ are sorted: leaves, stays
left = leaves[test] == "leaves"
auc, loss = roc_auc_score(left, probability), log_loss(left, probability)
constant = log_loss(left, np.full(len(left), np.mean(leaves[train] == "leaves")))
print(f"area under the curve {auc:.3f}, logarithmic loss {loss:.3f} (the same number for everyone: {constant:.3f})")

# Whom to call: of the 100 customers with the highest probabilities, so many leave.
hits = left[np.argsort(-probability)[:100]].mean()
print(f"of the 100 likeliest, {hits:.0%} leave, of all {left.mean():.0%}")

assert auc > 0.8 and loss < 0.85 * constant and hits > 1.5 * left.mean()
