"""Rows, groups and a score that tells which rows it saw: for tests of the rows that early stopping holds out."""

from typing import Any

import numpy as np
from optional import optional

sklearn = optional("sklearn")

from sklearn.model_selection import PredefinedSplit  # noqa: E402

from mlpcore.sklearn import MLPClassifier  # noqa: E402

ROWS = 60
NUMBERS = np.arange(ROWS)
X = np.random.default_rng(0).normal(size=(ROWS, 3))
X[:, 0] = NUMBERS / ROWS  # tells a scorer which row it sees
LABELS = NUMBERS % 3
GROUPS = np.random.default_rng(1).integers(0, 9, ROWS)
PREDEFINED = PredefinedSplit(np.where(NUMBERS % 4 == 1, 0, -1))
SEEN: list[np.ndarray] = []


def seen(estimator: Any, x: Any, y: Any) -> float:
    """A score that keeps the numbers of the rows it sees."""
    SEEN.append(np.rint(np.asarray(x)[:, 0] * ROWS).astype(int))
    return 0.0


def seen_targets(estimator: Any, x: Any, y: Any) -> float:
    """The same for rows that were scaled on their way; the targets are their numbers."""
    SEEN.append(np.asarray(y).astype(int))
    return 0.0


def model(kind: type = MLPClassifier, **words: Any) -> Any:
    settings = {"hidden_layer_sizes": 4, "random_state": 0, "max_iter": 3, "early_stopping": True, "batch_size": 16}
    return kind(**(settings | words))


def same_fit(one: Any, other: Any) -> None:
    """Bit for bit."""
    for a, b in zip([*one.coefs_, *one.intercepts_], [*other.coefs_, *other.intercepts_], strict=True):
        np.testing.assert_array_equal(a, b)
    for name in ("loss_curve_", "validation_loss_curve_", "validation_scores_", "n_iter_", "t_"):
        assert getattr(one, name) == getattr(other, name), name


def held_rows(estimator: Any, x: Any, y: Any, **words: Any) -> np.ndarray:
    SEEN.clear()
    estimator.set_params(scoring=seen).fit(x, y, **words)
    return SEEN[0]
