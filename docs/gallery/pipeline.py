"""
Why a network wants a pipeline
==============================

The columns of the wine data have sizes from 0.1 to 1,600. The same classifier learns from them slowly, unless a step of
the pipeline brings them to one scale. The estimators are scikit-learn's in everything that a pipeline uses.
"""

import warnings

import matplotlib.pyplot as plt
from sklearn.datasets import load_wine
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import learning_curve
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from mlpcore.sklearn import MLPClassifier

warnings.simplefilter("ignore")  # few epochs: scikit-learn's ConvergenceWarning says so
X, y = load_wine(return_X_y=True)
network = MLPClassifier(32, "gelu", learning_rate_init=0.01, max_iter=40, random_state=0)
estimators = {
    "scaled, network": make_pipeline(StandardScaler(), network),
    "scaled, logistic regression": make_pipeline(StandardScaler(), LogisticRegression()),
    "network on raw columns": network,
}

# %%
# Five folds, and more and more of their rows. The scaler learns from the training rows of each fold alone.

fig, axis = plt.subplots(figsize=(8, 4.5), layout="constrained")
for number, (name, estimator) in enumerate(estimators.items()):
    sizes, _, scores = learning_curve(
        estimator, X, y, train_sizes=[0.1, 0.2, 0.4, 0.7, 1.0], cv=5, shuffle=True, random_state=0
    )
    axis.plot(sizes, scores.mean(axis=1), f"C{number}", marker="os^"[number], label=name)
    axis.fill_between(sizes, scores.min(axis=1), scores.max(axis=1), color=f"C{number}", alpha=0.15)
axis.set(
    xlabel="training rows",
    ylabel="accuracy on the other folds",
    title="Mean and range over five folds",
    ylim=(0.2, 1.02),
)
axis.legend(loc="lower right")
plt.show()
