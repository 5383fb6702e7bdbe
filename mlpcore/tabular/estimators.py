"""TabularClassifier and TabularRegressor: strong networks for tables as they are, with scikit-learn's interface."""

import dataclasses
import warnings
from collections.abc import Mapping
from numbers import Integral, Real
from typing import Any, ClassVar, Self

import numpy as np
from sklearn.base import BaseEstimator, ClassifierMixin, RegressorMixin, _fit_context
from sklearn.utils import check_array, check_consistent_length, check_random_state
from sklearn.utils._param_validation import Interval, StrOptions
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import _check_sample_weight, check_is_fitted, column_or_1d, validate_data

from mlpcore.errors import MlpcoreWarning
from mlpcore.stacks import Ensemble
from mlpcore.tabular.encoder import TableEncoder
from mlpcore.tabular.frames import Frame, is_missing, take_rows
from mlpcore.tabular.held_out import splits
from mlpcore.tabular.members import Rows, Settings, deadline_of, train_members
from mlpcore.tabular.recipes import RECIPES, PlainMLP, RealMLP, TableShape, TabM

_FROM_ONE = Interval(Integral, 1, None, closed="left")
CONSTRAINTS: dict[str, Any] = {
    "recipe": [StrOptions(set(RECIPES)), RealMLP, TabM, PlainMLP],
    "n_ensemble": [_FROM_ONE],
    "validation_fraction": [Interval(Real, 0, 1, closed="left")],
    "max_epochs": [_FROM_ONE, None],
    "time_limit": [Interval(Real, 0, None, closed="neither"), None],
    "categorical_features": [StrOptions({"from_dtype"}), list, tuple, np.ndarray],
    "types": [dict, None],
    "ignore": [list, tuple],
    "random_state": ["random_state"],
    "backend": "no_validation",  # `mlpcore.Model` names those that there are
    "device": "no_validation",
    "dtype": [StrOptions({"float32", "float64"})],
}


class BaseTabular(BaseEstimator):
    """Abstract base class: a subclass says what the target is."""

    _parameter_constraints: ClassVar[dict] = CONSTRAINTS

    def __init__(
        self,
        recipe="realmlp",
        *,
        n_ensemble=1,
        validation_fraction=0.2,
        max_epochs=None,
        time_limit=None,
        categorical_features="from_dtype",
        types=None,
        ignore=(),
        random_state=None,
        backend="numpy",
        device=None,
        dtype="float32",
    ):
        self.recipe = recipe
        self.n_ensemble = n_ensemble
        self.validation_fraction = validation_fraction
        self.max_epochs = max_epochs
        self.time_limit = time_limit
        self.categorical_features = categorical_features
        self.types = types
        self.ignore = ignore
        self.random_state = random_state
        self.backend = backend
        self.device = device
        self.dtype = dtype

    @_fit_context(prefer_skip_nested_validation=True)
    def fit(
        self,
        X: Any,
        y: Any,
        sample_weight: Any = None,
        *,
        X_val: Any = None,
        y_val: Any = None,
        sample_weight_val: Any = None,
    ) -> Self:
        """Fit to the rows of a data frame X and their targets y; returns the estimator.

        X is a frame of pandas, Polars or pyarrow, a dict of columns, or an array (n, columns). Rows whose target is
        missing are left out, with a warning. ``sample_weight`` (n,) multiplies the losses of the rows.

        The epoch with the best score (accuracy, squared error) on held-out rows counts: those of ``X_val`` and
        ``y_val``, else `validation_fraction` of the rows. With ``n_ensemble > 1`` and no ``X_val``, each member holds
        out another part.

        ValueError or DataError for arguments or data that cannot be used.
        """
        deadline = deadline_of(self.time_limit)
        if (X_val is None) != (y_val is None):
            raise ValueError(f"{'X_val' if X_val is None else 'y_val'} is missing, expected both X_val and y_val")
        frame, rows, numbers = self._read(X, y, sample_weight, reset=True)
        target = rows.target
        seeds = check_random_state(self.random_state).randint(0, 2**31 - 1, 1 + self.n_ensemble).tolist()
        classes = target if target.ndim == 1 else None
        all_rows = np.arange(len(target))
        chosen: list[tuple[np.ndarray, np.ndarray | None]] = [(all_rows, None)] * self.n_ensemble
        if X_val is None:
            chosen = splits(len(target), classes, self.n_ensemble, float(self.validation_fraction), seeds[0])
        # The parts of several members cover all rows; what is learnt of the columns does not depend on the target.
        learnt = chosen[0][0] if self.n_ensemble == 1 else all_rows
        encoder = TableEncoder(self._types(frame), self.ignore).fit(take_rows(frame, learnt), numbers[learnt])
        rows = rows._replace(x=encoder.transform(frame, self.dtype, warn=False))
        divided = [(training, None if held is None else rows.take(held)) for training, held in chosen]
        if X_val is not None:
            frame, held_out, _ = self._read(X_val, y_val, sample_weight_val, reset=False)
            held_out = held_out._replace(x=encoder.transform(frame, self.dtype, warn=False))
            divided = [(all_rows, held_out)] * self.n_ensemble
        shape = TableShape(
            encoder.numeric_columns,
            tuple(size - 1 for size in encoder.category_sizes),
            *((len(self.classes_), 1) if classes is not None else (0, target.shape[1])),
        )
        recipe = RECIPES[self.recipe] if isinstance(self.recipe, str) else self.recipe
        if self.max_epochs is not None:
            recipe = dataclasses.replace(recipe, epochs=int(self.max_epochs))
        words = {"backend": self.backend, "device": self.device, "dtype": self.dtype}
        members = train_members(rows, divided, seeds[1:], Settings(shape, recipe, words, deadline))
        self.encoder_, self.members_ = encoder, [member.model for member in members]
        self.best_epochs_ = [member.best.epoch for member in members]
        self.validation_scores_ = [list(member.best.scores) for member in members]
        self.n_iter_ = max(int(member.model.trainer.progress.epoch) for member in members)
        self._calibrate(members, divided)
        return self

    def _calibrate(self, members: Any, divided: Any) -> None:
        """Keep what predictions need of the held-out rows."""

    def _target(self, y: Any, reset: bool) -> tuple[np.ndarray, np.ndarray]:
        """The target of the rows that have one, and their numbers."""
        raise NotImplementedError

    def _read(self, X: Any, y: Any, sample_weight: Any, *, reset: bool) -> tuple[Any, Rows, np.ndarray]:
        """The frame of the rows that have a target; their targets and weights, without x; their numbers in X."""
        frame = self._frame(X, reset=reset)
        count = Frame(frame).rows
        if y is None:
            raise ValueError(f"This {type(self).__name__} estimator requires y to be passed, but the target y is None.")
        target, known = self._target(y, reset)
        check_consistent_length(np.empty(count), y)
        weights = np.ones(count)
        if sample_weight is not None:
            weights = _check_sample_weight(sample_weight, np.empty((count, 1)), dtype=np.float64)
        if np.any(weights < 0) or not np.any(weights[known] > 0):
            raise ValueError("sample_weight has negative numbers, or only zeros where there is a target")
        if len(known) < count:
            warnings.warn(
                f"{count - len(known)} of {count} rows have no target and are left out", MlpcoreWarning, stacklevel=4
            )
            frame = take_rows(frame, known)
        return frame, Rows(np.empty((len(known), 0)), target, weights[known]), known

    def _frame(self, X: Any, *, reset: bool) -> Any:
        """X as a frame for `TableEncoder`; sets or checks ``n_features_in_`` and ``feature_names_in_``."""
        if isinstance(X, Mapping) and not hasattr(X, "tocsr"):  # a sparse table may be a dict
            if reset:
                self.n_features_in_, self.feature_names_in_ = len(X), np.asarray([*map(str, X)], dtype=object)
            return X
        if not hasattr(X, "columns") and not hasattr(X, "column_names"):
            least = 2 if reset else 1
            return validate_data(
                self, X, reset=reset, dtype=None, ensure_all_finite="allow-nan", ensure_min_samples=least
            )
        if reset:  # later, columns are matched by name
            validate_data(self, X, reset=True, skip_check_array=True)
        return X

    def _types(self, frame: Any) -> dict[str, str]:
        """What is told about columns: ``types``, and "categorical" for ``categorical_features``."""
        told = dict(self.types or {})
        if isinstance(self.categorical_features, str):
            return told
        names, listed = Frame(frame).names, np.asarray(self.categorical_features)
        chosen = listed if listed.dtype.kind in "OU" else np.asarray(names, dtype=object)[listed]
        return dict.fromkeys((str(name) for name in chosen), "categorical") | told

    def _predictions(self, X: Any) -> np.ndarray:
        """The mean of the members' predictions."""
        check_is_fitted(self)
        x = self.encoder_.transform(self._frame(X, reset=False), self.dtype)
        return np.asarray(Ensemble(self.members_).predict(x))

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.allow_nan = tags.input_tags.string = tags.input_tags.categorical = True
        return tags


class TabularClassifier(ClassifierMixin, BaseTabular):
    """A classifier for tables as they are: numbers, texts, booleans, dates, and gaps in any of them.

    `TableEncoder` decides what each column is; the recipe says how the network is made and trained.

    recipe: "realmlp", "realmlp-s" (simpler and faster), "tabm" (32 networks that share layers; slow), "mlp", or one of
        `mlpcore.tabular.recipes` with other fields, such as ``RealMLP(dropout=0.0)``.
    n_ensemble: The number of networks whose probabilities are averaged.
    validation_fraction: The share of the rows that chooses the epoch; 0 for none, which keeps the last.
    max_epochs: In place of the number of epochs of the recipe.
    time_limit: Seconds after which training ends, after an epoch.
    categorical_features: Columns of numbers that are categories: their names, their numbers or a mask.
    types, ignore: As those of `TableEncoder`.
    random_state: As in scikit-learn.
    backend, device, dtype: As those of `mlpcore.Model`.

    Fitted attributes: ``classes_``; ``encoder_`` with the columns as they were understood; ``members_``, the trained
    models; ``best_epochs_`` and ``validation_scores_``, a number and a list for each of them; ``n_iter_``.

    >>> import numpy as np
    >>> from mlpcore.tabular import TabularClassifier
    >>> X = {"size": np.arange(40) % 7, "town": np.array(["Rome", "Oslo"] * 20)}
    >>> y = ["big" if size > 3 else "small" for size in X["size"]]
    >>> TabularClassifier("mlp", random_state=0).fit(X, y).predict({"town": np.array(["Rome"]), "size": [6]}).tolist()
    ['big']
    """

    def predict(self, X: Any) -> np.ndarray:
        """The most probable class of every row (n,)."""
        probabilities = self._predictions(X)
        return self.classes_[np.argmax(probabilities, axis=1)]

    def predict_proba(self, X: Any) -> np.ndarray:
        """The probabilities (n, classes), in the order of ``classes_``."""
        return self._predictions(X)

    def _target(self, y: Any, reset: bool) -> tuple[np.ndarray, np.ndarray]:
        labels = column_or_1d(y, warn=True)
        missing = np.array([is_missing(label) for label in labels.tolist()], dtype=bool)
        known = np.flatnonzero(~missing)
        present = labels[known]
        if present.dtype == object and present.size and all(isinstance(one, str) for one in present.tolist()):
            present = present.astype(str)
        check_classification_targets(present)
        if reset:
            self.classes_ = np.unique(present)
            if len(self.classes_) < 2:
                raise ValueError(f"y has {len(self.classes_)} class(es), expected two or more")
        numbers = np.searchsorted(self.classes_, present)
        found = self.classes_[np.minimum(numbers, len(self.classes_) - 1)] == present
        if not np.all(found):
            raise ValueError(f"y_val has the class {str(present[~found][0])!r}, which y has not")
        return numbers.astype(np.int64), known


class TabularRegressor(RegressorMixin, BaseTabular):
    """A regressor for tables as they are. Arguments and attributes are those of `TabularClassifier`.

    y is (n,) or (n, outputs), of any size: the network learns it in units of its standard deviation. The recipe
    "realmlp" keeps predictions in the range of the training targets.
    """

    def predict(self, X: Any, quantiles: Any = None) -> np.ndarray:
        """The predictions (n,) or (n, outputs).

        With ``quantiles``, a list of q levels between 0 and 1, the quantiles (n, q) or (n, outputs, q): the prediction
        plus the quantile of the residuals ``y - prediction`` on the held-out rows, each by the member that has not
        learnt the row. The residuals are taken to have the same distribution for every row. As the same rows have
        chosen the epoch, they are a little too small.
        """
        prediction = self._predictions(X)
        if quantiles is not None:
            levels = np.asarray(quantiles, dtype=np.float64)
            if levels.ndim != 1 or not levels.size or not np.all((levels > 0) & (levels < 1)):
                raise ValueError(f"quantiles is {quantiles!r}, expected a list of numbers between 0 and 1")
            if self._residuals is None:
                raise ValueError("quantiles need held-out rows, expected a fit with validation_fraction or X_val")
            prediction = prediction[:, :, None] + np.quantile(self._residuals, levels, axis=0).T[None]
        return prediction[:, 0] if self._one_column else prediction

    def _calibrate(self, members: Any, divided: Any) -> None:
        residuals = [
            held_out.target - member.model.predict(held_out.x)
            for member, (_, held_out) in zip(members, divided, strict=True)
            if held_out is not None
        ]
        self._residuals = np.concatenate(residuals) if residuals else None

    def _target(self, y: Any, reset: bool) -> tuple[np.ndarray, np.ndarray]:
        target = check_array(y, ensure_2d=False, dtype=np.float64, ensure_all_finite="allow-nan", input_name="y")
        if target.ndim == 2 and target.shape[1] == 1:
            target = column_or_1d(target, warn=True)
        if reset:
            self._one_column = target.ndim == 1
        target = target[:, None] if target.ndim == 1 else target
        known = np.flatnonzero(~np.isnan(target).any(axis=1))
        return target[known], known

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.target_tags.multi_output = True
        return tags
