"""TabularClassifier: classes from tables as they are."""

from typing import Any

import numpy as np
from sklearn.base import ClassifierMixin
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import column_or_1d

from mlpcore.tabular.base import BaseTabular
from mlpcore.training.frames import is_missing


class TabularClassifier(ClassifierMixin, BaseTabular):
    """A classifier for tables as they are: numbers, texts, booleans, dates, and gaps in any of them.

    `TableEncoder` decides what each column is; the recipe says how the network is made and trained.

    recipe: "realmlp", "realmlp-s" (simpler and faster), "tabm" (32 networks that share layers; slow), "mlp", or one of
        `mlpcore.tabular.recipes` with other fields, such as ``RealMLP(dropout=0.0)``.
    n_ensemble: The number of networks whose probabilities are averaged.
    validation_fraction: The share of the rows that chooses the epoch; 0 for none, which keeps the last.
    max_epochs: In place of the number of epochs of the recipe.
    time_limit: Seconds after which training ends, after an epoch.
    categorical_features: Columns of numbers that are categories: their names, their numbers or a mask.
    types, ignore: As those of `TableEncoder`.
    random_state: As in scikit-learn.
    backend, device, dtype: As those of `mlpcore.Model`.
    on_nonfinite: "raise", "skip" or "restore" where a step is not finite, as in `mlpcore.Model.fit`.
    callbacks: Callbacks of mlpcore, called between epochs; with ``n_ensemble > 1`` each network has copies of them.

    Fitted attributes: ``classes_``; ``encoder_`` with the columns as they were understood; ``members_``, the trained
    models; ``histories_``, the `mlpcore.History` of each; ``best_epochs_`` and ``validation_scores_``, a number and a
    list for each; ``n_iter_``.

    >>> import numpy as np
    >>> from mlpcore.tabular import TabularClassifier
    >>> X = {"size": np.arange(40) % 7, "town": np.array(["Rome", "Oslo"] * 20)}
    >>> y = ["big" if size > 3 else "small" for size in X["size"]]
    >>> TabularClassifier("mlp", random_state=0).fit(X, y).predict({"town": np.array(["Rome"]), "size": [6]}).tolist()
    ['big']
    """

    def predict(self, X: Any) -> np.ndarray:
        """The most probable class of every row (n,)."""
        probabilities = self._predictions(X)
        return self.classes_[np.argmax(probabilities, axis=1)]

    def score(self, X: Any, y: Any, sample_weight: Any = None) -> float:
        """The accuracy, weighted by ``sample_weight`` (n,)."""
        return float(super().score(X, y, sample_weight))

    def predict_proba(self, X: Any) -> np.ndarray:
        """The probabilities (n, classes), in the order of ``classes_``."""
        return self._predictions(X)

    def _target(self, y: Any, reset: bool) -> tuple[np.ndarray, np.ndarray]:
        labels = column_or_1d(y, warn=True)
        missing = np.array([is_missing(label) for label in labels.tolist()], dtype=bool)
        known = np.flatnonzero(~missing)
        present = labels[known]
        if present.dtype == object and present.size and all(isinstance(one, str) for one in present.tolist()):
            present = present.astype(str)
        check_classification_targets(present)
        if reset:
            self.classes_ = np.unique(present)
            if len(self.classes_) < 2:
                raise ValueError(f"y has {len(self.classes_)} class(es), expected two or more")
        numbers = np.searchsorted(self.classes_, present)
        found = self.classes_[np.minimum(numbers, len(self.classes_) - 1)] == present
        if not np.all(found):
            raise ValueError(f"y_val has the class {str(present[~found][0])!r}, expected one that y has")
        return numbers.astype(np.int64), known
