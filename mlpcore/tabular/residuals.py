"""Residuals of held-out rows, whose quantiles are added to the predictions of a regressor."""

from typing import Any

import numpy as np

from mlpcore.tabular.stored import damaged

MOST = 10_001  # that are kept of an output


def kept(residuals: np.ndarray) -> np.ndarray:
    """The residuals (m, outputs) in ascending order; of more than `MOST` as many quantiles at equal distances.

    Between these, which include the quantiles 0, 0.0001, 0.0002, ..., 1, quantiles are interpolated linearly.
    """
    most = np.finfo(np.float64).max
    residuals = np.clip(residuals, -most, most)  # differences of the largest numbers are infinite
    return np.sort(residuals, axis=0) if len(residuals) <= MOST else _quantiles(residuals, np.linspace(0, 1, MOST))


def _quantiles(residuals: np.ndarray, levels: np.ndarray) -> np.ndarray:
    """The quantiles (levels, outputs) of residuals (m, outputs); of their halves, whose differences are finite."""
    return 2 * np.quantile(residuals / 2, levels, axis=0)


def with_quantiles(prediction: np.ndarray, residuals: np.ndarray | None, quantiles: Any) -> np.ndarray:
    """Predictions (n, outputs) plus the quantiles of the residuals: (n, outputs, levels)."""
    levels = np.asarray(quantiles, dtype=np.float64)
    if levels.ndim != 1 or not levels.size or not np.all((levels > 0) & (levels < 1)):
        raise ValueError(f"quantiles is {quantiles!r}, expected a list of numbers between 0 and 1")
    if residuals is None:
        raise ValueError("quantiles need held-out rows, expected a fit with validation_fraction or X_val")
    return np.asarray(prediction[:, :, None] + _quantiles(residuals, levels).T[None])


def check_residuals(tensor: np.ndarray | None) -> np.ndarray | None:
    """The residuals of a file; ModelFileError for a tensor that cannot be such."""
    if tensor is not None and not (
        tensor.ndim == 2 and tensor.dtype == np.float64 and len(tensor) and np.all(np.isfinite(tensor))
    ):
        damaged("residuals", f"an array {tensor.shape} of {tensor.dtype}, or not finite")
    return tensor
