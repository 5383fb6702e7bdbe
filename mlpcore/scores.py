"""R2 on the host for the estimators of both packages, of numbers however large or small."""

from typing import Any

import numpy as np
from sklearn.metrics import r2_score
from sklearn.utils import check_array

from mlpcore.numerics import in_squarable_units


def r2(target: Any, prediction: np.ndarray, sample_weight: Any = None) -> float:
    """scikit-learn's ``r2_score`` of predictions (n,) or (n, c), the mean over the columns; its errors.

    Each column is taken in units whose squares neither overflow nor underflow. The target may have another shape, such
    as (n, 1) for (n,).
    """
    target = check_array(target, ensure_2d=False, dtype=np.float64, input_name="y")
    prediction = prediction.astype(np.float64)  # squares of large float32 numbers overflow
    if target.size == prediction.size and len(target) == len(prediction):
        target, prediction = in_squarable_units(target.reshape(prediction.shape), prediction)
    return float(r2_score(target, prediction, sample_weight=sample_weight))
