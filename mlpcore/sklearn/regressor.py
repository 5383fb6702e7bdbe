"""MLPRegressor: scikit-learn's interface, on any backend and with more losses."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from sklearn.base import RegressorMixin, _fit_context
from sklearn.utils import check_consistent_length
from sklearn.utils.metaestimators import available_if

from mlpcore.backends.transfer import to_host
from mlpcore.configuration import keep
from mlpcore.losses import GaussianNLL, PoissonNLL, Quantile
from mlpcore.losses.mixture import mean_and_deviation
from mlpcore.losses.standardized import StandardizedTarget, original
from mlpcore.namespace import namespace
from mlpcore.scores import r2
from mlpcore.sklearn import gaps, inputs
from mlpcore.sklearn.base import BaseMLP, validation_rows
from mlpcore.sklearn.casts import is_foreign
from mlpcore.sklearn.combining import networks
from mlpcore.sklearn.constraints import REGRESSOR
from mlpcore.sklearn.intervals import PredictionIntervals
from mlpcore.sklearn.points import expected, point, standardized, with_deviation
from mlpcore.sklearn.problem import Problem
from mlpcore.sklearn.translation import regression_loss
from mlpcore.training.missing import check_missing_targets
from mlpcore.training.weights import observed_weights
from mlpcore.typing import Array, Layer, Loss, Optimizer, Schedule, Tree


class MLPRegressor(PredictionIntervals, RegressorMixin, BaseMLP):
    """A multilayer perceptron that predicts numbers: scikit-learn's `MLPRegressor`, and more.

    The arguments up to ``max_fun`` are scikit-learn's; those that follow are described in `MLPClassifier`, whose
    ``scoring=None`` is R2 here.

    loss: "squared_error" or "poisson" (half the deviance) as in scikit-learn; also "absolute_error", "huber",
        "quantile" (levels 0.1, 0.5 and 0.9), "gaussian" (mean and variance), or a loss of mlpcore such as
        ``Quantile((0.05, 0.95))``.
    standardize_target: True trains on targets with mean 0 and standard deviation 1 in each column, so that prices in
        thousands are learnt as fast as shares. Predictions are in the units of y; ``loss_curve_``, ``alpha`` and the
        delta of "huber" refer to the standardized target. Later fits that continue this one keep its mean and
        deviation. Not for "poisson", whose targets are counts.
    missing_targets: "error" refuses missing entries of y (NaN, None, pandas' NA); "skip" leaves them out of fits and
        scores.

    `predict` returns one number for each target column. `predict_quantiles`, for a quantile loss,
    ``predict(X, return_std=True)``, for "gaussian" or an ensemble, and `predict_interval` also return the uncertainty.

    >>> from mlpcore.sklearn import MLPRegressor
    >>> X, y = [[-1.0], [0.0], [1.0], [2.0]], [1.0, 0.0, 1.0, 2.0]
    >>> MLPRegressor(hidden_layer_sizes=8, solver="lbfgs", random_state=0).fit(X, y).predict([[1.0]]).round(1).tolist()
    [1.0]
    """

    _parameter_constraints: dict = REGRESSOR

    def __init__(
        self,
        loss: str | Loss = "squared_error",
        hidden_layer_sizes: int | Sequence[int] = (100,),
        activation: str | Layer | Sequence[str | Layer] = "relu",
        *,
        solver: str | Optimizer = "adam",
        alpha: float = 0.0001,
        batch_size: int | str = "auto",
        learning_rate: str | Schedule = "constant",
        learning_rate_init: float = 0.001,
        power_t: float = 0.5,
        max_iter: int = 200,
        shuffle: bool = True,
        random_state: Any = None,
        tol: float = 1e-4,
        verbose: bool | int = False,
        warm_start: bool = False,
        momentum: float = 0.9,
        nesterovs_momentum: bool = True,
        early_stopping: bool = False,
        validation_fraction: float = 0.1,
        beta_1: float = 0.9,
        beta_2: float = 0.999,
        epsilon: float = 1e-8,
        n_iter_no_change: int = 10,
        max_fun: int = 15000,
        backend: str = "auto",
        device: Any = None,
        dtype: str | None = None,
        compile: bool | str = "auto",
        missing_targets: str = "error",
        standardize_target: bool = False,
        dropout: float | Sequence[float] = 0.0,
        normalization: str | None = None,
        weight_decay: float | None = None,
        clip_norm: float | None = None,
        on_nonfinite: str = "raise",
        scoring: str | Callable[..., float] | None = None,
        validation_split: Any = None,
        callbacks: Sequence[Any] = (),
        progress: bool = False,
        n_members: int = 1,
        bootstrap: bool = False,
        oob_score: bool | Callable[..., float] = False,
        compat: str | None = None,
    ) -> None:
        keep(self, locals())

    @_fit_context(prefer_skip_nested_validation=True)
    def fit(
        self,
        X: Any,
        y: Any,
        sample_weight: Any = None,
        validation_data: Any = None,
        *,
        X_val: Any = None,
        y_val: Any = None,
        sample_weight_val: Any = None,
        groups: Any = None,
    ) -> "MLPRegressor":
        """Fit the regressor to the rows X (n, features) and their targets y; returns the regressor.

        y is (n,) or (n, outputs). ``sample_weight`` (n,) multiplies the losses of the rows.

        ``validation_data`` is (X, y) or (X, y, sample_weight). Its loss is recorded in ``validation_loss_curve_``, and
        early stopping uses it instead of held-out rows of X. It may also be passed as ``X_val``, ``y_val`` and
        ``sample_weight_val``, which a `Pipeline` with ``transform_input=["X_val"]`` transforms. ``groups`` (n,) are
        passed to ``validation_split``; without one, early stopping holds out whole groups.

        ValueError for arguments or data that cannot be used. A fit that raises an exception leaves the estimator
        unchanged.
        """
        held_out = validation_rows(validation_data, X_val, y_val, sample_weight_val)
        return self._fit(X, y, sample_weight, held_out, groups)

    @available_if(lambda self: self._check_solver())
    @_fit_context(prefer_skip_nested_validation=True)
    def partial_fit(self, X: Any, y: Any, sample_weight: Any = None) -> "MLPRegressor":
        """Train for one epoch over these rows; arguments are as in `fit`, and solver="lbfgs" has no such method."""
        return self._fit(X, y, sample_weight, once=True)

    def predict(self, X: Any, return_std: bool = False) -> Any:
        """The point prediction, (n,) or (n, outputs): the mean, or for loss="absolute_error" the median.

        For a quantile loss it is the quantile whose level is nearest to 1/2.

        For an ensemble it is the mean m over its members' predictions m_i.

        With ``return_std`` returns ``(prediction, standard deviation)``. The deviation is for loss="gaussian" that of
        the likelihood s; for an ensemble ``sqrt(mean((m_i - m)^2))``, and for an ensemble with loss="gaussian" that of
        the mixture, ``sqrt(mean(s_i^2 + (m_i - m)^2))``. ValueError for one network with another loss.
        """
        gaussian = isinstance(_loss_of(self), GaussianNLL)
        if return_std and not gaussian and len(networks(self)) == 1:
            self._check_fitted()
            raise ValueError(
                f"return_std=True needs loss='gaussian', the fit had {_loss_of(self)!r}, or n_members of 2 or more"
            )
        if return_std:
            function = with_deviation if gaussian else expected
            mean, deviation = self._outputs(X, function, "predict", combine=mean_and_deviation)
            return _flat(mean), _flat(deviation)
        return _flat(self._outputs(X, expected, "predict"))

    @available_if(lambda self: isinstance(_loss_of(self), Quantile))
    def predict_quantiles(self, X: Any) -> Any:
        """The quantiles of all levels of the loss, ascending: (n, levels) or (n, outputs, levels).

        Only estimators with a quantile loss have this method.
        """
        quantiles = self._outputs(X, _predicted, "predict_quantiles")
        levels = len(original(self._predictor.loss).quantiles)  # type: ignore[attr-defined]  # a Quantile
        shape = (quantiles.shape[0], levels) if self.n_outputs_ == 1 else (quantiles.shape[0], self.n_outputs_, levels)
        return namespace(quantiles).reshape(quantiles, shape)

    def score(self, X: Any, y: Any, sample_weight: Any = None) -> float:
        """R2, as scikit-learn's ``score``. With ``missing_targets="skip"`` that of each column on the rows that have a
        target there, then the mean over the columns with two such rows or more.
        """
        filled, observed = gaps.without_missing(y) if self.missing_targets == "skip" else (y, None)
        if observed is None and (is_foreign(X) or is_foreign(y)):
            return float(super().score(X, y, sample_weight))
        predicted = to_host(self.predict(X))
        if observed is None:
            return r2(y, predicted, sample_weight)
        check_consistent_length(predicted, filled)
        weights = inputs.checked_weights(sample_weight, predicted.shape[0])
        if filled.shape[1:] != predicted.shape[1:]:
            filled = filled.reshape(predicted.shape)
        return gaps.r2_of_observed(gaps.with_gaps(filled, observed), predicted, weights)

    def _problem(
        self, X: Any, y: Any, sample_weight: Any, *, once: bool, first: bool, training: Problem | None = None
    ) -> Problem:
        loss, observed = regression_loss(self.loss), None
        if self.missing_targets == "skip":
            check_missing_targets(type(self).__name__, "skip", loss)
            y, observed = gaps.without_missing(y)
        x, y = inputs.training_rows(self, X, y, numeric=True, reset=first)
        weights = inputs.checked_weights(sample_weight, x.shape[0])
        target = y if y.ndim == 2 else y[:, None]
        columns = target.shape[1]
        if observed is not None:
            weights = observed_weights(np.ones(x.shape[0]) if weights is None else weights, observed, "float64")
        if training is not None:
            loss = training.loss
        elif self.standardize_target:
            loss = self._standardized(loss, target, weights, first)
        return Problem(x, target, weights, gaps.with_gaps(y, observed), loss, columns, {}, columns)

    def _standardized(self, loss: Loss, target: np.ndarray, weights: np.ndarray | None, first: bool) -> Loss:
        """The loss in units of the target's deviation, in a fit that continues another in those of that fit."""
        if not hasattr(loss, "in_units"):
            raise ValueError(
                f"standardize_target=True needs a loss whose predictions are values of y, got loss={self.loss!r}"
            )
        earlier = None if first else networks(self)[0]._predictor.loss
        if isinstance(earlier, StandardizedTarget):
            return StandardizedTarget(loss, earlier.mean, earlier.scale)
        return standardized(loss, target, weights)

    def _link(self) -> str:
        return "exp" if isinstance(regression_loss(self.loss), PoissonNLL) else "identity"

    def _score_of(self, prediction: Tree, y: Any, weights: np.ndarray | None) -> float:
        return _r2(to_host(point(regression_loss(self.loss), prediction)), y, weights)

    def _out_of_bag(self, prediction: np.ndarray, y: Any, known: np.ndarray) -> dict[str, Any]:
        score = _r2(prediction[known], y[known], None) if known.any() else float("nan")
        return {"oob_score_": score, "oob_prediction_": _flat(prediction)}


def _r2(predicted: np.ndarray, y: Any, weights: np.ndarray | None) -> float:
    """R2 of predictions (n, columns) on the host; NaN where one is not finite."""
    if not np.all(np.isfinite(predicted)):
        return float("nan")
    if gaps.has_gaps(y) or (weights is not None and weights.ndim == 2):
        return gaps.r2_of_observed(np.asarray(y, np.float64), predicted, weights)
    return r2(y, predicted, weights)


def _loss_of(estimator: MLPRegressor) -> Loss:
    """The loss of the last fit, or before a fit that of the arguments."""
    return original(estimator._predictor.loss if hasattr(estimator, "_predictor") else regression_loss(estimator.loss))


def _predicted(loss: Loss, z: Array) -> Tree:
    return loss.predict(z)


def _flat(columns: Array) -> Array:
    """(n, 1) as (n,); more columns unchanged."""
    return columns[:, 0] if columns.shape[1] == 1 else columns
