"""An estimator of scikit-learn and ours with the same arguments, and rows and targets of every kind for both."""

import warnings
from typing import Any

import numpy as np
import sklearn
from sklearn.neural_network import MLPClassifier as TheirClassifier
from sklearn.neural_network import MLPRegressor as TheirRegressor
from sklearn.utils.fixes import parse_version

from mlpcore.sklearn import MLPClassifier, MLPRegressor

OLD = parse_version(sklearn.__version__) < parse_version("1.7")  # neither sample_weight nor the regressor's loss
ROWS = 90


def rows(seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(ROWS, 6))


def targets() -> dict[str, Any]:
    x, rng = rows(), np.random.default_rng(1)
    line = x @ rng.normal(size=(6, 3)) / 2
    return {
        "binary": np.where(line[:, 0] > 0, *((7, 2) if OLD else ("yes", "no"))),  # early stopping refuses words in 1.6
        "multiclass": np.argmax(line, axis=1) * 2,
        "multilabel": (line > 0).astype(int),
        "regression": np.tanh(line[:, 0]) + line[:, 1] ** 2,
        "outputs": np.tanh(line),
        "poisson": rng.poisson(np.exp(line[:, 0])).astype(float),
    }


TARGETS = targets()
KINDS = [kind for kind in TARGETS if not (OLD and kind == "poisson")]
SGD = {"solver": "sgd", "learning_rate_init": 0.05}
SOLVERS = {
    "adam": {"solver": "adam", "learning_rate_init": 0.01},
    "sgd constant": SGD,
    "sgd invscaling": SGD | {"learning_rate": "invscaling"},
    "sgd adaptive": SGD | {"learning_rate": "adaptive", "n_iter_no_change": 2, "tol": 0.05},
    "sgd plain momentum": SGD | {"nesterovs_momentum": False},
    "sgd no momentum": SGD | {"momentum": 0.0},
}
ACTIVATIONS = ("identity", "logistic", "tanh", "relu")


def pair(kind: str, **arguments: Any) -> tuple[Any, Any]:
    """Their estimator and ours with the same arguments."""
    theirs, ours = (
        (TheirClassifier, MLPClassifier)
        if kind in ("binary", "multiclass", "multilabel")
        else (TheirRegressor, MLPRegressor)
    )
    words = {"hidden_layer_sizes": (7, 5), "random_state": 3, "batch_size": 32, "max_iter": 25, "alpha": 0.01}
    words |= arguments | ({"loss": "poisson"} if kind == "poisson" else {})
    return theirs(**words), ours(**words, compat="sklearn")


def both_fitted(kind: str, weighted: bool, **arguments: Any) -> tuple[Any, Any]:
    estimators = pair(kind, **arguments)
    extra = {"sample_weight": np.random.default_rng(2).uniform(0.2, 3, ROWS)} if weighted else {}
    for one in estimators:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            one.fit(rows(), TARGETS[kind], **extra)
    return estimators
