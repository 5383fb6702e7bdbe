"""The base class of both estimators: fits that succeed or change nothing, predictions, conversion, and pickling."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
from sklearn.base import BaseEstimator, ClassNamePrefixFeaturesOutMixin, TransformerMixin
from sklearn.exceptions import NotFittedError
from sklearn.utils.validation import check_is_fitted

from mlpcore.model import Model
from mlpcore.sklearn import inputs, translation
from mlpcore.sklearn.casts import is_foreign
from mlpcore.sklearn.constraints import FULL_BATCH
from mlpcore.sklearn.conversion.export import to_onnx
from mlpcore.sklearn.conversion.theirs import to_sklearn
from mlpcore.sklearn.fitting import fit
from mlpcore.sklearn.hidden import HiddenActivations, hidden_layer
from mlpcore.sklearn.predictor import on_host, tree_from
from mlpcore.sklearn.problem import DeviceAndDtype, Problem
from mlpcore.training.ingest import check_validation_data
from mlpcore.typing import Array, Loss, Tree

# Attributes that only a solver with epochs sets; a fit by lbfgs removes those of an earlier fit.
_OF_EPOCHS = ("loss_curve_", "validation_loss_curve_", "best_loss_", "validation_scores_", "best_validation_score_")


class BaseMLP(HiddenActivations, ClassNamePrefixFeaturesOutMixin, TransformerMixin, BaseEstimator):
    """Abstract base class: a subclass defines how X and y become a `Problem`, and its predictions."""

    def _problem(
        self, X: Any, y: Any, sample_weight: Any, *, once: bool, first: bool, training: Problem | None = None
    ) -> Problem:
        """The checked data; sets ``n_features_in_`` and related attributes.

        ``once`` means a ``partial_fit``, ``first`` a fit that starts from new parameters. For validation data,
        ``training`` is the problem of the training data.
        """
        raise NotImplementedError

    def _score_of(self, prediction: Tree, y: Any, weights: np.ndarray | None) -> float:
        """The accuracy, or R2, of ``prediction``, which the loss has made from scores; NaN where it is not finite."""
        raise NotImplementedError

    def _link(self) -> str:
        """The output activation, by scikit-learn's name."""
        raise NotImplementedError

    def _fit(
        self, X: Any, y: Any, sample_weight: Any = None, validation_data: Any = None, *, once: bool = False
    ) -> Any:
        """Fit, or with ``once`` partially fit, the estimator; returns it."""
        with all_or_nothing(self):
            first = not hasattr(self, "coefs_") or (not self.warm_start and not once)
            translation.hidden_sizes(self)
            translation.check_together(self)
            if self.early_stopping and once:
                raise ValueError("partial_fit does not support early_stopping=True")
            problem = self._problem(X, y, sample_weight, once=once, first=first)
            if validation_data is not None:
                problem = problem._replace(validation=self._validation_problem(validation_data, problem))
            # Set before the fit, because a scorer may need them between epochs.
            self.n_outputs_, self.out_activation_ = problem.columns, self._link()
            dtype = inputs.dtype_of(problem.x if first else self.coefs_[0], self.dtype)
            place = DeviceAndDtype(inputs.backend_for(self, X), dtype, inputs.place_of(X))
            attributes = fit(self, problem, place, first=first, once=once)
            if first:
                for name in _OF_EPOCHS:
                    self.__dict__.pop(name, None)
            self.__dict__.update(attributes)
        return self

    def _validation_problem(self, validation_data: Any, training: Problem) -> Problem:
        """Validation data as a problem: (X, y) or (X, y, sample_weight)."""
        if self.solver == FULL_BATCH:
            raise ValueError("validation_data cannot be used with solver='lbfgs', which has no epochs")
        validation = check_validation_data(validation_data)
        return self._problem(*validation, *[None] * (3 - len(validation)), once=True, first=False, training=training)

    def _outputs(self, X: Any, function: Callable[[Loss, Array], Tree], method: str, depth: int | None = None) -> Tree:
        """``function(loss, scores)`` for the rows of X, as arrays of X's library.

        ``depth`` is the number of layers to compute, None for all. ``method`` is named in errors.
        """
        self._check_fitted()
        inputs.check_library(self, X, method)
        x = inputs.rows(self, X)
        return self._predictor(function, self.coefs_, self.intercepts_, x, depth)

    def _check_fitted(self) -> None:
        """NotFittedError before a fit; scikit-learn's check, a third of a prediction's time, runs only then."""
        if "_predictor" not in self.__dict__:
            check_is_fitted(self)
            raise NotFittedError(f"This {type(self).__name__} has fitted attributes, but was never fitted; call fit.")

    @property
    def _n_features_out(self) -> int:
        return int(self.coefs_[hidden_layer(self, -1)].shape[1])

    def to_model(self, backend: str = "numpy", device: Any = None) -> Model:
        """The fitted network as an `mlpcore.Model` with a copy of its parameters, to save, export or train further.

        Its loss is the true one, also with ``compat="sklearn"``, which reports another value. ``backend`` and
        ``device`` are as for `mlpcore.Model`. NotFittedError before a fit.
        """
        self._check_fitted()
        predictor = self._predictor
        steps = int(self.max_iter)
        return Model(
            predictor.net,
            predictor.loss,
            translation.optimizer(self, steps),
            backend=backend,
            device=device,
            dtype=predictor.dtype,
            params=on_host(tree_from(predictor.net, self.coefs_, self.intercepts_, predictor.others)),
            **translation.rules(self),
        )

    def to_sklearn(self) -> Any:
        """scikit-learn's own estimator with the same parameters, see `mlpcore.sklearn.conversion.theirs`."""
        return to_sklearn(self)

    def to_onnx(self, path: Any = None) -> Any:
        """An ONNX model, see `mlpcore.sklearn.conversion.export`; written to ``path`` where one is given."""
        return to_onnx(self, path)

    def _check_solver(self) -> bool:
        """True if the solver has epochs, so that partial_fit can run one; AttributeError if not."""
        if self.solver == FULL_BATCH:
            raise AttributeError(
                f"partial_fit is only available for stochastic optimizers. {self.solver} is not stochastic."
            )
        return True

    def __getstate__(self) -> dict[str, Any]:
        state = dict(super().__getstate__())
        for name in ("coefs_", "intercepts_"):
            if name in state:
                state[name] = list(on_host(tuple(state[name])))
        if is_foreign(state.get("classes_")):
            state["classes_"] = on_host(state["classes_"])
        return state

    def __setstate__(self, state: dict[str, Any]) -> None:
        state = dict(state)
        if "_runtime" in state:  # the name of the predictor in pickles written before December 2026
            state["_predictor"] = state.pop("_runtime")
        super().__setstate__(state)

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.sparse = True
        tags.array_api_support = True
        tags.transformer_tags.preserves_dtype = ["float64", "float32"] if self.dtype is None else []
        return tags


def validation_rows(validation_data: Any, X_val: Any, y_val: Any, sample_weight_val: Any) -> Any:
    """The validation data of a fit, ``(X, y[, sample_weight])`` or None; ValueError where it is passed in both ways."""
    if X_val is None and y_val is None and sample_weight_val is None:
        return validation_data
    if validation_data is not None:
        raise ValueError("validation_data and X_val, y_val are two ways to pass the same rows, expected one of them")
    if X_val is None or y_val is None:
        raise ValueError(f"{'X_val' if X_val is None else 'y_val'} is missing, expected both X_val and y_val")
    return X_val, y_val, sample_weight_val


@contextmanager
def all_or_nothing(estimator: Any) -> Iterator[None]:
    """Restore the estimator's attributes if an exception is raised."""
    before = dict(vars(estimator))
    try:
        yield
    except BaseException:
        vars(estimator).clear()
        vars(estimator).update(before)
        raise


def keep(estimator: Any, arguments: dict[str, Any]) -> None:
    """Store the arguments of a constructor as attributes, unchanged."""
    for name, value in arguments.items():
        if name not in ("self", "__class__"):
            setattr(estimator, name, value)
