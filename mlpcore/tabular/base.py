"""The base class of both estimators for tables: from a data frame to trained members, with scikit-learn's interface."""

import dataclasses
import warnings
from collections.abc import Mapping, Sequence
from numbers import Integral, Real
from typing import Any, ClassVar, Self

import numpy as np
from sklearn.base import BaseEstimator, _fit_context
from sklearn.utils import check_consistent_length, check_random_state
from sklearn.utils._param_validation import Interval, StrOptions
from sklearn.utils.validation import _check_sample_weight, check_is_fitted, validate_data

from mlpcore.configuration import keep
from mlpcore.errors import MlpcoreWarning
from mlpcore.files.writing import Path
from mlpcore.preprocessing import Standardize
from mlpcore.stacks import Ensemble
from mlpcore.tabular.description import Description
from mlpcore.tabular.encoder import TableEncoder
from mlpcore.tabular.frames import Frame, series_name, take_rows
from mlpcore.tabular.held_out import splits
from mlpcore.tabular.members import EncodedRows, Settings, deadline_of, train_members
from mlpcore.tabular.recipes import RECIPES, PlainMLP, RealMLP, TableShape, TabM
from mlpcore.tabular.saved import TableModel
from mlpcore.tabular.target import Target
from mlpcore.training.recovery import CHOICES

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
    "on_nonfinite": [StrOptions(set(CHOICES))],
    "callbacks": [list, tuple],
}


class BaseTabular(BaseEstimator):
    """Abstract base class: a subclass says what the target is."""

    _parameter_constraints: ClassVar[dict] = CONSTRAINTS

    def __init__(
        self,
        recipe: str | RealMLP | TabM | PlainMLP = "realmlp",
        *,
        n_ensemble: int = 1,
        validation_fraction: float = 0.2,
        max_epochs: int | None = None,
        time_limit: float | None = None,
        categorical_features: Any = "from_dtype",
        types: dict[Any, str] | None = None,
        ignore: Sequence[Any] = (),
        random_state: Any = None,
        backend: str = "numpy",
        device: Any = None,
        dtype: str | None = "float32",
        on_nonfinite: str = "raise",
        callbacks: Sequence[Any] = (),
    ) -> None:
        keep(self, locals())

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
        ``y_val``, else ``validation_fraction`` of the rows. With ``n_ensemble > 1`` and no ``X_val``, each member holds
        out another part.

        ValueError or DataError for arguments or data that cannot be used. NonFiniteError where a step of a single
        network, or of all networks in their first epoch, is not finite and ``on_nonfinite`` does not help.
        """
        deadline = deadline_of(self.time_limit)
        if (X_val is None) != (y_val is None):
            raise ValueError(f"{'X_val' if X_val is None else 'y_val'} is missing, expected both X_val and y_val")
        frame, target, weights, numbers = self._read(X, y, sample_weight, reset=True)
        self._target_name = series_name(y, Frame(frame).names)
        seeds = check_random_state(self.random_state).randint(0, 2**31 - 1, 1 + self.n_ensemble).tolist()
        classes = target if target.ndim == 1 else None
        # Amounts are standardised in float64, as the digits of those far from zero are lost in float32.
        self._scaling = Standardize.fit(target[weights > 0]) if classes is None else None
        target = self._scaled(target)
        all_rows = np.arange(len(target))
        chosen: list[tuple[np.ndarray, np.ndarray | None]] = [(all_rows, None)] * self.n_ensemble
        if X_val is None:
            chosen = splits(len(target), classes, self.n_ensemble, float(self.validation_fraction), seeds[0])
        # The parts of several members cover all rows; what is learnt of the columns does not depend on the target.
        learnt = chosen[0][0] if self.n_ensemble == 1 else all_rows
        encoder = TableEncoder(self._types(frame), self.ignore).fit(take_rows(frame, learnt), numbers[learnt])
        rows = EncodedRows(encoder.transform(frame, self.dtype, warn=False), target, weights)
        divided = [(training, None if held is None else rows.take(held)) for training, held in chosen]
        if X_val is not None:
            frame, target_val, weights_val, _ = self._read(X_val, y_val, sample_weight_val, reset=False)
            x = encoder.transform(frame, self.dtype, warn=False)
            divided = [(all_rows, EncodedRows(x, self._scaled(target_val), weights_val))] * self.n_ensemble
        outputs = (len(self.classes_), 1) if classes is not None else (0, target.shape[1])
        shape = TableShape.of(encoder, *outputs)
        recipe = RECIPES[self.recipe] if isinstance(self.recipe, str) else self.recipe
        if self.max_epochs is not None:
            recipe = dataclasses.replace(recipe, epochs=int(self.max_epochs))
        words = {"backend": self.backend, "device": self.device, "dtype": self.dtype}
        settings = Settings(shape, recipe, words, deadline, self.callbacks, self.on_nonfinite)
        members = train_members(rows, divided, seeds[1:], settings)
        self.encoder_, self.members_ = encoder, [member.model for member in members]
        self.histories_ = [member.history for member in members]
        self.best_epochs_ = [member.best.epoch for member in members]
        self.validation_scores_ = [list(member.best.scores) for member in members]
        self.n_iter_ = max(int(member.model.trainer.progress.epoch) for member in members)
        self._calibrate(members, divided)
        return self

    def _scaled(self, target: np.ndarray) -> np.ndarray:
        return target if self._scaling is None else self._scaling(target)

    def _calibrate(self, members: Any, divided: Any) -> None:
        """Keep what predictions need of the held-out rows."""

    def _target(self, y: Any, reset: bool) -> tuple[np.ndarray, np.ndarray]:
        """The target of the rows that have one, and their numbers."""
        raise NotImplementedError

    def _read(
        self, X: Any, y: Any, sample_weight: Any, *, reset: bool
    ) -> tuple[Any, np.ndarray, np.ndarray, np.ndarray]:
        """The frame of the rows that have a target, their targets and weights, and their numbers in X."""
        frame = self._frame(X, reset=reset)
        count = Frame(frame).rows
        if y is None:
            raise ValueError(f"This {type(self).__name__} estimator requires y to be passed, but the target y is None.")
        target, known = self._target(y, reset)
        check_consistent_length(np.empty(count), y)
        if not len(known):
            raise ValueError(f"none of the {count} rows has a target, expected some")
        weights = np.ones(count)
        if sample_weight is not None:
            weights = _check_sample_weight(sample_weight, np.empty((count, 1)), dtype=np.float64)
        if np.any(weights < 0) or not np.any(weights[known] > 0):
            raise ValueError(
                "sample_weight has negative numbers, or only zeros where there is a target; expected weights of 0 or "
                "more"
            )
        if len(known) < count:
            warnings.warn(
                f"{count - len(known)} of {count} rows have no target and are left out", MlpcoreWarning, stacklevel=4
            )
            frame = take_rows(frame, known)
        return frame, target, weights[known], known

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

    def save(self, path: Path) -> None:
        """Write one safetensors file, completely or not at all, which `mlpcore.tabular.load` reads; no pickle.

        It holds what predictions need: the encoding of the columns, the classes, the members and at most 10,001
        residuals for each output, but not the arguments of the estimator; also the name of y, if that is a series of
        pandas or Polars, by which ``mlpcore predict`` finds the target in a table. ConfigurationError for classes that
        are neither strings nor numbers nor booleans.
        """
        self._as_table_model().save(path)

    def to_onnx(self, path: Path | None = None) -> Any:
        """An ONNX model of encoder and members, see `mlpcore.tabular.TableModel.to_onnx`, also written to ``path``."""
        return self._as_table_model().to_onnx(path)

    def _as_table_model(self) -> TableModel:
        check_is_fitted(self)
        classes, named = getattr(self, "classes_", None), hasattr(self, "feature_names_in_")
        name = getattr(self, "_target_name", "")  # pickles of earlier versions have none
        target = Target(name, (), self._scaling) if classes is None else Target.of_classes(classes, name)
        residuals = getattr(self, "_residuals", None)
        description = Description(self.encoder_, target, named, one_hot=False, residuals=residuals)
        return TableModel(description, self.members_)

    def _predictions(self, X: Any) -> np.ndarray:
        """The mean of the members' predictions."""
        check_is_fitted(self)
        x = self.encoder_.transform(self._frame(X, reset=False), self.dtype)
        prediction = Ensemble(self.members_).predict(x)
        return np.asarray(prediction if self._scaling is None else self._scaling.inverse(prediction))

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.allow_nan = tags.input_tags.string = tags.input_tags.categorical = True
        return tags
