"""Updates of an optimizer from given gradients and rates."""

from typing import Any

import numpy as np


def draws(*shape: int, dtype: str = "float64", seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal(shape).astype(dtype)


def train(optimizer: Any, params: np.ndarray, gradients: np.ndarray, rates: Any) -> tuple[np.ndarray, Any]:
    """Parameters and state after one update for every gradient."""
    state = optimizer.init(params)
    for g, rate in zip(gradients, rates, strict=True):
        params, state = optimizer.update(g, state, params, np.asarray(rate, dtype=params.dtype))
    return params, state
