"""The base class of both estimators: fits that succeed or change nothing, predictions, conversion, and pickling."""

from collections.abc import Callable
from inspect import signature
from typing import Any

import numpy as np
from sklearn.base import BaseEstimator, ClassNamePrefixFeaturesOutMixin, TransformerMixin
from sklearn.exceptions import NotFittedError
from sklearn.utils.validation import check_is_fitted

from mlpcore.losses.mixture import mixture
from mlpcore.model import Model
from mlpcore.sklearn import ensemble, inputs, translation
from mlpcore.sklearn.casts import is_foreign
from mlpcore.sklearn.combining import networks
from mlpcore.sklearn.constraints import FULL_BATCH
from mlpcore.sklearn.conversion.export import to_onnx
from mlpcore.sklearn.conversion.models import to_model
from mlpcore.sklearn.conversion.theirs import to_sklearn
from mlpcore.sklearn.fitting import fit
from mlpcore.sklearn.hidden import HiddenActivations, hidden_layer
from mlpcore.sklearn.hooks import CallbackSupportMixin, fit_task
from mlpcore.sklearn.placement import automatic, bring_to_host, record
from mlpcore.sklearn.predictor import on_host
from mlpcore.sklearn.problem import DeviceAndDtype, Problem
from mlpcore.sklearn.splits import check_one_choice, checked_groups, first_split
from mlpcore.sklearn.stochastic import OPTIONAL
from mlpcore.sklearn.warm_start import all_or_nothing
from mlpcore.stacks.ensemble import Ensemble
from mlpcore.training.ingest import check_validation_data
from mlpcore.typing import Array, Loss, Tree

# Attributes that only a solver with epochs sets; a fit by lbfgs removes those of an earlier fit.
_OF_EPOCHS = ("loss_curve_", *OPTIONAL.values(), "best_loss_", "validation_scores_", "best_validation_score_")


class BaseMLP(
    HiddenActivations, ClassNamePrefixFeaturesOutMixin, TransformerMixin, CallbackSupportMixin, BaseEstimator
):
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

    def _calibrate(self, problem: Problem) -> None:
        """Keep what predictions need of the held-out rows of a fit, if any."""

    def _out_of_bag(self, prediction: np.ndarray, y: Any, known: np.ndarray) -> dict[str, Any]:
        """The fitted attributes from out-of-bag predictions (n, columns), by name; NaN where ``known`` (n,) is not."""
        raise NotImplementedError

    def _fit(
        self,
        X: Any,
        y: Any,
        sample_weight: Any = None,
        validation_data: Any = None,
        groups: Any = None,
        *,
        once: bool = False,
    ) -> Any:
        """Fit, or with ``once`` partially fit, the estimator; returns it."""
        with fit_task(self, X, y, sample_weight, once) as task, all_or_nothing(self):
            fitted = hasattr(self, "coefs_") or hasattr(self, "estimators_")
            first = not fitted or (not self.warm_start and not once)
            translation.hidden_sizes(self)
            translation.check_together(self)
            ensemble.check_arguments(self, first=first, once=once)
            if self.early_stopping and once:
                raise ValueError("partial_fit does not support early_stopping=True; use fit, or early_stopping=False")
            problem = self._problem(X, y, sample_weight, once=once, first=first)
            groups = None if groups is None else checked_groups(groups, problem.x.shape[0])
            if validation_data is not None:
                check_one_choice(self, groups)
                problem = problem._replace(validation=self._validation_problem(validation_data, problem))
            elif self.early_stopping and self.solver != FULL_BATCH:
                splitter = self.validation_split
                split = None if splitter is None else first_split(splitter, X, problem.y, groups)
                problem = problem._replace(split=split, groups=groups)
            problem = problem._replace(task=task)
            # Set before the fit, because a scorer may need them between epochs.
            self.n_outputs_, self.out_activation_ = problem.columns, self._link()
            dtype = inputs.dtype_of(problem.x if first else networks(self)[0].coefs_[0], self.dtype)
            for checked in (problem, problem.validation or problem):
                inputs.check_range(checked.x, dtype)
            choice = automatic(self, X, problem, dtype, first=first)
            backend = inputs.backend_for(self, X) if choice is None else choice.open()
            place = DeviceAndDtype(backend, dtype, inputs.place_of(X))
            train = fit if self.n_members == 1 else ensemble.fit_members
            attributes = train(self, problem, place, first=first, once=once)
            if first:
                for name in (*_OF_EPOCHS, *ensemble.OF_ENSEMBLES):
                    self.__dict__.pop(name, None)
            self.__dict__.update(attributes)
            self._calibrate(problem)
            for network in networks(self):
                vars(network).pop("_held_out_rows", None)
            record(self, choice)
            if choice is not None and backend.name != inputs.HOST:
                bring_to_host(self)
        return self

    def _validation_problem(self, validation_data: Any, training: Problem) -> Problem:
        """Validation data as a problem: (X, y) or (X, y, sample_weight)."""
        if self.solver == FULL_BATCH:
            raise ValueError(
                "validation_data cannot be used with solver='lbfgs', which has no epochs; use solver='adam' or 'sgd'"
            )
        validation = check_validation_data(validation_data)
        return self._problem(*validation, *[None] * (3 - len(validation)), once=True, first=False, training=training)

    def _outputs(
        self,
        X: Any,
        function: Callable[[Loss, Array], Tree],
        method: str,
        depth: int | None = None,
        combine: Callable[[list[Any]], Tree] = mixture,
    ) -> Tree:
        """``function(loss, scores)`` for the rows of X, as arrays of X's library.

        ``depth`` is the number of layers to compute, None for all. ``method`` is named in errors. The results of the
        members of an ensemble are combined by ``combine``, by default to their mean.
        """
        self._check_fitted()
        inputs.check_library(self, X, method)
        x = inputs.rows(self, X)
        inputs.check_range(x, self._predictor.dtype)
        if "estimators_" not in self.__dict__:
            return self._predictor(function, self.coefs_, self.intercepts_, x, depth)
        return combine([one._predictor(function, one.coefs_, one.intercepts_, x, depth) for one in self.estimators_])

    def _check_fitted(self) -> None:
        """NotFittedError before a fit; scikit-learn's check, a third of a prediction's time, runs only then."""
        if "_predictor" not in self.__dict__:
            check_is_fitted(self)
            raise NotFittedError(f"This {type(self).__name__} has fitted attributes, but was never fitted; call fit.")

    @property
    def _n_features_out(self) -> int:
        return int(self.coefs_[hidden_layer(self, -1)].shape[1])

    @property
    def estimators_samples_(self) -> list[np.ndarray]:
        """The numbers of the rows that each member of an ensemble has drawn with ``bootstrap=True``, each (n,).

        They are drawn again from the members' seeds. AttributeError for other fits.
        """
        return ensemble.samples(self)

    def to_model(self, backend: str = "numpy", device: Any = None) -> Model | Ensemble:
        """The fitted network as an `mlpcore.Model` with a copy of its parameters, to save, export or train further.

        With ``n_members > 1`` it is an `mlpcore.Ensemble`. The loss is the true one, also with ``compat="sklearn"``,
        which reports another value. ``backend`` and ``device`` are as for `mlpcore.Model`. NotFittedError before a fit.
        """
        self._check_fitted()
        return to_model(self, backend, device)

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
                f"partial_fit is only available for stochastic optimizers. {self.solver} is not stochastic; use 'adam'."
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
        arguments = [a for a in signature(type(self)).parameters.values() if a.default is not a.empty]
        state = {a.name: a.default for a in arguments} | state  # arguments that an older release lacked
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
