"""Predictions of rows by the networks that were not trained on them."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from mlpcore.backends.transfer import to_host
from mlpcore.sklearn.points import expected
from mlpcore.sklearn.validation import HeldOut


def unseen_predictions(networks: Sequence[Any], problem: Any, unseen: Sequence[np.ndarray]) -> np.ndarray:
    """The mean prediction of every row by the networks that have not seen it, (n, columns) in float64.

    ``unseen[i]`` are the numbers of the rows that network i has not seen, each once. Rows that all have seen are NaN.
    """
    rows = problem.x.shape[0]
    total, count = np.zeros((rows, problem.columns)), np.zeros((rows, 1))
    for network, numbers in zip(networks, unseen, strict=True):
        if numbers.size:
            x = HeldOut.of(problem, numbers).x
            total[numbers] += to_host(network._predictor(expected, network.coefs_, network.intercepts_, x))
            count[numbers] += 1
    return np.divide(total, count, out=np.full(total.shape, np.nan), where=count > 0)
