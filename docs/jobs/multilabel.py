"""Several labels for each row: which subjects has a text? Some labels of the training rows are unknown.

Quality: the F1 score, the mean over the labels, beside that of giving every row the frequent labels.
"""

import numpy as np
from sklearn.datasets import make_multilabel_classification
from sklearn.metrics import f1_score

import mlpcore as mc

LABELS = ["sport", "money", "music", "travel", "science", "politics"]
words, subjects = make_multilabel_classification(
    3000, n_features=60, n_classes=6, n_labels=2, length=200, random_state=4
)
x = np.log1p(words)
train, test = slice(0, 2200), slice(2200, 3000)

# A reader has not looked at every label of every text: NaN is an unknown label, and has weight 0.
known = subjects[train].astype(float)
known[np.random.default_rng(4).uniform(size=known.shape) < 0.3] = np.nan

net = mc.Sequential(mc.Linear(60, 64), mc.ReLU(), mc.Dropout(0.2), mc.Linear(64, 6))
model = mc.Model(net, mc.SigmoidCrossEntropy(), mc.AdamW(3e-3), seed=0)
model.fit(x[train], known, epochs=40, batch_size=64, missing_targets="skip")

probabilities = model.predict(x[test])
chosen = (probabilities > 0.5).astype(int)
for row in range(3):
    print(" ".join(f"{label} {p:.2f}" for label, p in zip(LABELS, probabilities[row], strict=True) if p > 0.5))

frequent = np.tile(np.nanmean(known, axis=0) > 0.4, (800, 1)).astype(int)
f1 = f1_score(subjects[test], chosen, average="macro")
trivial = f1_score(subjects[test], frequent, average="macro", zero_division=0)
print(f"F1 {f1:.2f}, of the frequent labels {trivial:.2f}")

assert f1 > 0.75 and f1 > trivial + 0.2
