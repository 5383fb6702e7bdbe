"""Copies of fitted attributes and random numbers, for both directions of the conversion."""

import copy
from typing import Any

import numpy as np

from mlpcore.backends.transfer import to_host
from mlpcore.sklearn.constraints import FULL_BATCH

# Fitted attributes that both estimators have; the second group only with a solver that has epochs.
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
    """Copy the fitted attributes that both estimators have from ``old`` to ``new``."""
    names = _ALWAYS if old.solver == FULL_BATCH else (*_ALWAYS, *_OF_EPOCHS)
    for name in names:
        if hasattr(old, name):
            setattr(new, name, copy.deepcopy(getattr(old, name)))


def same_random(random_state: Any, current: np.random.RandomState) -> np.random.RandomState:
    """A copy of the current random state, but NumPy's global one itself where ``random_state`` is None."""
    return current if random_state is None else copy.deepcopy(current)


def copies(arrays: Any) -> list[np.ndarray]:
    """Writable copies on the host; scikit-learn's training writes into them."""
    return [np.array(to_host(array), order="C") for array in arrays]
