"""
Are probabilities what they say?
================================

Of all rows to which a calibrated classifier gives a probability of 0.8, four fifths are of the class. A network that
was trained for too long on noisy labels is far too sure of itself. Early stopping helps, and so does scikit-learn's
``CalibratedClassifierCV``, which learns a correction from rows that the network has not seen.
"""

import warnings

import matplotlib.pyplot as plt
from sklearn.calibration import CalibratedClassifierCV, calibration_curve
from sklearn.datasets import make_classification
from sklearn.metrics import log_loss
from sklearn.model_selection import train_test_split

from mlpcore.sklearn import MLPClassifier

warnings.simplefilter("ignore")  # fixed numbers of epochs: scikit-learn's ConvergenceWarning says so
X, y = make_classification(6000, 20, n_informative=6, flip_y=0.25, class_sep=0.8, random_state=0)
X, X_test, y, y_test = train_test_split(X, y, train_size=1500, random_state=0)

settings = {"hidden_layer_sizes": 64, "learning_rate_init": 0.005, "random_state": 0}
long = MLPClassifier(max_iter=80, n_iter_no_change=80, **settings)
stopped = MLPClassifier(max_iter=80, early_stopping=True, scoring="loss", n_iter_no_change=5, **settings)
corrected = CalibratedClassifierCV(long, method="sigmoid", cv=3)

# %%
# Below the diagonal on the right, above it on the left: too sure. The legend shows the log loss, which a wrong
# probability near 0 or 1 makes large.

fig, (curves, bars) = plt.subplots(1, 2, figsize=(11, 4.6), layout="constrained")
curves.plot([0, 1], [0, 1], color="gray", linestyle=":")
for number, (name, estimator) in enumerate(
    {"80 epochs": long, "early stopping": stopped, "corrected": corrected}.items()
):
    probability = estimator.fit(X, y).predict_proba(X_test)[:, 1]
    observed, predicted = calibration_curve(y_test, probability, n_bins=10)
    curves.plot(
        predicted, observed, f"C{number}", marker="os^"[number], label=f"{name}: {log_loss(y_test, probability):.2f}"
    )
    bars.hist(probability, bins=20, range=(0, 1), histtype="step", color=f"C{number}", linewidth=2, label=name)
curves.set(xlabel="predicted probability", ylabel="share of the class", title="Calibration on 4,500 other rows")
curves.legend(title="log loss")
bars.set(xlabel="predicted probability", ylabel="rows", title="How sure the classifier is")
plt.show()
