"""What chance could do to a measure on so many rows, and to the difference of two ways to predict the same rows."""

import math

import numpy as np


def standard_error(y: np.ndarray, prediction: np.ndarray) -> float:
    """The standard error of accuracy or R2 on independent rows; NaN for fewer than two rows.

    For class numbers y (n,), integers, and probabilities (n, classes) it is as if two more rows were right and two more
    wrong, so that it is not 0 where all are right. Source: Agresti & Coull (1998), "Approximate is better than exact
    for interval estimation of binomial proportions". The R2 of amounts y and predictions of n numbers is the difference
    to the R2 of their mean, which is 0; its error is that of `paired_error`.
    """
    n = len(y)
    if y.dtype.kind not in "iu":
        return paired_error(y, prediction, np.full(n, np.mean(y, dtype=np.float64)) if n else prediction)
    if n < 2:
        return math.nan
    share = (np.sum(prediction.argmax(axis=1) == y) + 2) / (n + 4)
    return math.sqrt(share * (1 - share) / (n + 4))


def paired_error(y: np.ndarray, prediction: np.ndarray, other: np.ndarray) -> float:
    """The standard error of the difference of two accuracies or R2 on the same n rows; NaN for fewer than two.

    With b rows in which only the first prediction is right, and c in which only the other one is, the error of the
    difference of the accuracies is ``sqrt(b + c + 1 - (b - c)^2 / (n + 2)) / (n + 2)``: that of the differences of the
    rows, as if there were half a row more of each kind. Source: Agresti & Min (2005), "Simple improved confidence
    intervals for comparing matched proportions".

    The difference of two R2 is ``q = mean(u) / mean(d^2)``, of the differences u of the squared errors in each row and
    the distances d of y from its mean; its error is ``std(u - q d^2) / mean(d^2) / sqrt(n - 1)``. Source: Cochran
    (1977), "Sampling techniques", section 6.4.
    """
    n = len(y)
    if n < 2:
        return math.nan
    if y.dtype.kind in "iu":
        first, second = (one.argmax(axis=1) == y for one in (prediction, other))
        b, c = int(np.sum(first & ~second)), int(np.sum(second & ~first))
        return math.sqrt(b + c + 1 - (b - c) ** 2 / (n + 2)) / (n + 2)
    y, prediction, other = (np.asarray(one, dtype=np.float64).reshape(n) for one in (y, prediction, other))
    distances = y - y.mean()
    scale = float(np.abs(distances).max()) or 1.0  # squares of scaled amounts cannot overflow
    first, second, squares = (np.square(one / scale) for one in (y - prediction, y - other, distances))
    spread = float(np.mean(squares))
    if not spread:
        return math.nan
    u = second - first
    return float(np.std(u - np.mean(u) / spread * squares)) / spread / math.sqrt(n - 1)
