"""What goes over between an estimator of ours and scikit-learn's, whichever way."""

import copy
from typing import Any

import numpy as np

from mlpcore.backends.transfer import to_host
from mlpcore.sklearn.constraints import FULL_BATCH

# Told by both alike, where there are epochs the second line too.
_ALWAYS = (
    "n_features_in_",
    "feature_names_in_",
    "n_iter_",
    "n_layers_",
    "n_outputs_",
    "out_activation_",
    "t_",
    "loss_",
)
_OF_EPOCHS = ("loss_curve_", "best_loss_", "validation_scores_", "best_validation_score_", "_no_improvement_count")


def take_over(old: Any, new: Any) -> None:
    """Copies of the fitted attributes that both have."""
    names = _ALWAYS if old.solver == FULL_BATCH else (*_ALWAYS, *_OF_EPOCHS)
    for name in names:
        if hasattr(old, name):
            setattr(new, name, copy.deepcopy(getattr(old, name)))


def same_random(given: Any, now: np.random.RandomState) -> np.random.RandomState:
    """A copy of the random numbers as they stand, but NumPy's own where the estimator has none."""
    return now if given is None else copy.deepcopy(now)


def copies(arrays: Any) -> list[np.ndarray]:
    """Host copies that may be written to, as scikit-learn's training does."""
    return [np.array(to_host(array), order="C") for array in arrays]
