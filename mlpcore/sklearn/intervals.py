"""predict_interval: prediction intervals of a regressor, by split-conformal prediction or a Gaussian likelihood."""

import math
from numbers import Real
from statistics import NormalDist
from typing import Any

import numpy as np

from mlpcore.losses import GaussianNLL
from mlpcore.losses.mixture import mean_and_deviation
from mlpcore.losses.standardized import original
from mlpcore.namespace import namespace
from mlpcore.sklearn.combining import networks
from mlpcore.sklearn.points import expected, with_deviation
from mlpcore.sklearn.unseen import unseen_predictions
from mlpcore.typing import Array

METHODS = ("auto", "conformal", "gaussian")


class PredictionIntervals:
    """`predict_interval`, and the residuals that it needs."""

    def predict_interval(self, X: Any, coverage: float = 0.9, method: str = "auto") -> Array:
        """Lower and upper bounds between which the target of a row lies with the probability ``coverage``.

        Returns (n, 2), or (n, outputs, 2) with the given coverage for each output by itself. ``method``:

        "conformal": ``prediction ± q``, for a fit with held-out rows: ``validation_data``, or ``early_stopping=True``.
            q is the k-th smallest of the residuals ``|y - prediction|`` of the m held-out rows, with
            ``k = ceil((m + 1) coverage)``. If these rows and the new one are exchangeable, and training has not used
            them, the new target is in the interval with at least this probability, for any distribution and network.
        "gaussian": ``mean ± z standard deviation``, for loss="gaussian"; z is the quantile of the normal distribution
            at ``(1 + coverage) / 2``. With ``n_members > 1`` mean and variance are those of the mixture.
        "auto": "conformal" after a fit with held-out rows, else "gaussian".

        So the guarantee is for ``validation_data`` without early stopping, which chooses the epoch by the same rows and
        makes their residuals a little smaller. If early stopping holds out rows, each member of an ensemble has its
        own, and the residual of a row is that of the mean of the members that have held it out, as Kim, Xu & Barber
        (2020) do for bootstrap samples. These are fewer members than predict a new row, so that the residuals are
        rather too large. Held-out rows of weight 0 do not count, and other weights are ignored.

        ValueError where the fit allows no such method, for a coverage that is not between 0 and 1, and for one that
        needs more held-out rows: ``m >= coverage / (1 - coverage)``. NotFittedError before a fit.

        Sources: Lei, G'Sell, Rinaldo, Tibshirani & Wasserman (2018), "Distribution-free predictive inference for
        regression", algorithm 2; for ensembles of Gaussians Lakshminarayanan, Pritzel & Blundell (2017).
        """
        estimator: Any = self
        estimator._check_fitted()
        coverage = _checked_coverage(coverage)
        residuals = vars(estimator).get("_residuals")
        if _method(method, residuals is not None, estimator._predictor.loss) == "conformal":
            points, half_widths = estimator._outputs(X, expected, "predict_interval"), _quantiles(residuals, coverage)
            pairs = [(points[:, j] - half, points[:, j] + half) for j, half in enumerate(half_widths)]
        else:
            z = NormalDist().inv_cdf((1 + coverage) / 2)
            means, deviations = estimator._outputs(X, with_deviation, "predict_interval", combine=mean_and_deviation)
            lower, upper = means - z * deviations, means + z * deviations
            pairs = [(lower[:, j], upper[:, j]) for j in range(means.shape[1])]
        xp = namespace(pairs[0][0])
        bounds = [xp.stack(pair, axis=-1) for pair in pairs]
        return bounds[0] if len(bounds) == 1 else xp.stack(bounds, axis=1)

    def _calibrate(self, problem: Any) -> None:
        """Keep the residuals of the held-out rows (m, outputs), each column ascending; none if no row was held out.

        Residuals of gaps and of weight 0 are NaN, and so the last of their column.
        """
        estimator: Any = self
        vars(estimator).pop("_residuals", None)
        members, held_out = networks(estimator), problem.validation or problem
        unseen = [vars(member).get("_held_out_rows") for member in members]
        if problem.validation is not None:
            unseen = [np.arange(held_out.x.shape[0])] * len(members)
        if any(rows is None for rows in unseen):
            return
        residuals = np.abs(held_out.target - unseen_predictions(members, held_out, unseen))
        if (weights := held_out.weights) is not None:
            residuals[~(np.broadcast_to(weights.reshape(len(weights), -1), residuals.shape) > 0)] = np.nan
        known = np.isfinite(residuals).any(axis=1)
        if known.any():
            estimator._residuals = np.sort(np.where(np.isfinite(residuals), residuals, np.nan)[known], axis=0)


def _checked_coverage(coverage: Any) -> float:
    if isinstance(coverage, bool) or not isinstance(coverage, Real) or not 0 < float(coverage) < 1:
        raise ValueError(f"coverage is {coverage!r}, expected a number between 0 and 1")
    return float(coverage)


def _method(method: Any, held_out: bool, loss: Any) -> str:
    """The method to use; ValueError where it is unknown or the fit does not allow it."""
    if method not in METHODS:
        raise ValueError(f"method is {method!r}, expected one of {', '.join(METHODS)}")
    gaussian = isinstance(original(loss), GaussianNLL)
    allowed = {"conformal": held_out, "gaussian": gaussian, "auto": held_out or gaussian}
    if not allowed[method]:
        needs = {
            "conformal": "held-out rows, expected a fit with validation_data or early_stopping=True",
            "gaussian": f"loss='gaussian', the fit had {loss!r}",
            "auto": "held-out rows or loss='gaussian', expected a fit with validation_data or early_stopping=True",
        }
        raise ValueError(f"predict_interval with method={method!r} needs {needs[method]}")
    return method if method != "auto" else "conformal" if held_out else "gaussian"


def _quantiles(residuals: np.ndarray, coverage: float) -> list[float]:
    """For every column of ascending residuals (m, outputs) the k-th of its m numbers; see `predict_interval`."""
    chosen = []
    for column in residuals.T:
        rows = int(np.sum(~np.isnan(column)))
        rank = math.ceil(round((rows + 1) * coverage, 9))  # rounded, because 100 * 0.55 is above 55
        if rank > rows:
            least = math.ceil(round(coverage / (1 - coverage), 9))
            raise ValueError(f"coverage={coverage!r} needs {least} held-out rows or more, the fit had {rows}")
        chosen.append(float(column[rank - 1]))
    return chosen
