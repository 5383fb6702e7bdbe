"""MLPClassifier: scikit-learn's interface, on any backend and with more options."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from sklearn.base import ClassifierMixin, _fit_context
from sklearn.metrics import accuracy_score
from sklearn.utils.metaestimators import available_if
from sklearn.utils.multiclass import _check_partial_fit_first_call

from mlpcore.backends.transfer import to_host
from mlpcore.configuration import keep
from mlpcore.sklearn import inputs, links
from mlpcore.sklearn.base import BaseMLP, validation_rows
from mlpcore.sklearn.casts import host_target, in_library_of, is_foreign
from mlpcore.sklearn.class_weight import check_class_weight, class_factors
from mlpcore.sklearn.combining import log_of_mean
from mlpcore.sklearn.constraints import CLASSIFIER
from mlpcore.sklearn.labels import Labels, of_one_type
from mlpcore.sklearn.problem import Problem
from mlpcore.sklearn.translation import LINK_LOSSES
from mlpcore.typing import Layer, Optimizer, Schedule, Tree


class MLPClassifier(ClassifierMixin, BaseMLP):
    """A multilayer perceptron that predicts classes and their probabilities: scikit-learn's `MLPClassifier`, and more.

    The arguments up to ``max_fun``, the methods and the fitted attributes are scikit-learn's, and so are the numbers
    for the same integer ``random_state``.

    Three of these arguments accept more values than in scikit-learn:

    activation: Also "leaky_relu", "elu", "selu", "gelu", "silu", "mish", "softplus", a layer of mlpcore, or a list with
        one entry for each hidden layer.
    solver: Also "adamw", "nadam", "radam", "rmsprop", "adagrad", "lion", or an optimizer of mlpcore, which has its own
        learning rate.
    learning_rate: Also "cosine", "linear" or "one_cycle", schedules over the whole fit for every solver but lbfgs, or a
        schedule of mlpcore.

    The other arguments are mlpcore's own:

    backend: The name of a backend, or "auto" for the library and device of X. For X on the host "auto" is NumPy, or
        CuPy for fits that should be faster on the GPU by what ``mlpcore crossover`` has measured on this machine; then
        only the fit is computed there, and ``backend_choice_`` says why. Not for lbfgs and sparse X.
    device: A device of the backend; None for its default, or with "auto" the device of X.
    dtype: "float32" or "float64"; None keeps that of X.
    compile: "auto", True or False, see `mlpcore.Model`.
    class_weight: A dict of label to weight, or "balanced". For multilabel targets a list with a dict for each column.
    dropout: The rate after every hidden layer, or a list with one for each.
    normalization: "batch", "layer" or "rms", before every hidden activation; None for none.
    weight_decay: Decoupled weight decay; None for the solver's default.
    clip_norm: The maximum norm of the gradient; None for no limit.
    on_nonfinite: "raise", "skip" or "restore" where the loss of a batch, its gradient or the updated weights are not
        finite, as in `mlpcore.Model.fit`. ``skipped_curve_`` has how many batches each epoch left out,
        ``restored_curve_`` how often each was trained again, at half the rate. Not for lbfgs.
    scoring: The score of early stopping: the name of a scorer, a function ``(estimator, X, y)`` that may also take
        ``sample_weight``, "loss" for the negative validation loss, or None for the accuracy.
    validation_split: The rows that early stopping holds out: a splitter of scikit-learn, or a list of pairs (train,
        held out) of row numbers; the first split is used. None holds out ``validation_fraction``.
    callbacks: Callbacks of mlpcore, called between epochs.
    progress: Whether a fit shows a progress line; of an ensemble that of its first member.
    n_members: The number of networks. Several, an ensemble, are trained side by side on the same data, each as an
        estimator alone with a seed drawn from ``random_state`` (``estimators_[i].random_state``), and their predictions
        are averaged: here the probabilities. They are kept in ``estimators_``, with their weights and curves.
    bootstrap: Whether each member is trained on n rows drawn with replacement (``estimators_samples_``): the weight of
        a row is multiplied by how often it was drawn.
    oob_score: Whether to predict every row by the members that have not drawn it: ``oob_decision_function_`` (n,
        classes), for a regressor ``oob_prediction_``, with NaN in rows that all have drawn; and ``oob_score_``, their
        accuracy, or R2, without weights.
    compat: "sklearn" for scikit-learn's behaviour where mlpcore corrects it, see docs/estimators.md; or None.

    >>> from mlpcore.sklearn import MLPClassifier
    >>> X, y = [[0.0, 0.0], [0.0, 1.0], [1.0, 0.0], [1.0, 1.0]], ["no", "yes", "yes", "no"]
    >>> MLPClassifier(8, solver="lbfgs", random_state=3).fit(X, y).predict(X).tolist()
    ['no', 'yes', 'yes', 'no']
    """

    _parameter_constraints: dict = CLASSIFIER

    def __init__(
        self,
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
        class_weight: dict[Any, float] | Sequence[dict[Any, float]] | str | None = None,
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
    ) -> "MLPClassifier":
        """Fit the classifier to the rows X (n, features) and their classes y; returns the classifier.

        y is labels (n,), all of one type, or a table (n, labels) of zeros and ones (multilabel). ``sample_weight`` (n,)
        multiplies the losses of the rows.

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
    def partial_fit(self, X: Any, y: Any, sample_weight: Any = None, classes: Any = None) -> "MLPClassifier":
        """Train for one epoch over these rows; arguments are as in `fit`, and solver="lbfgs" has no such method.

        ``classes`` lists all classes. It is required in the first call, and optional in later ones.
        """
        fresh = getattr(self, "classes_", None) is None
        try:
            if classes is not None:
                classes = of_one_type("classes", to_host(classes) if is_foreign(classes) else classes)
            if _check_partial_fit_first_call(self, classes):
                self._labels = Labels.listed(classes, host_target(y, numeric=False))
            return self._fit(X, y, sample_weight, once=True)
        except BaseException:
            if fresh:
                for name in ("classes_", "_labels"):
                    self.__dict__.pop(name, None)
            raise

    def predict(self, X: Any) -> Any:
        """The most probable class of every row, (n,); for multilabel targets a table (n, labels) of zeros and ones."""
        probabilities = self._outputs(X, links.predictions, "predict")
        return in_library_of(probabilities, self._labels.decode(to_host(probabilities)))

    def score(self, X: Any, y: Any, sample_weight: Any = None) -> float:
        """The accuracy, weighted by ``sample_weight`` (n,): the share of rows with the right label, or labels."""
        return float(super().score(X, y, sample_weight))

    def predict_proba(self, X: Any) -> Any:
        """The probabilities (n, classes), in the order of ``classes_``."""
        self._check_fitted()
        return self._outputs(X, links.PROBABILITIES[self._labels.kind], "predict_proba")

    def predict_log_proba(self, X: Any) -> Any:
        """The logarithms of the probabilities (n, classes), computed from the raw scores, so that they are finite."""
        self._check_fitted()
        if self.compat == "sklearn":
            with np.errstate(divide="ignore"):
                function = links.LOGARITHMS_OF_PROBABILITIES[self._labels.kind]
                return self._outputs(X, function, "predict_log_proba", combine=log_of_mean)
        function = links.LOG_PROBABILITIES[self._labels.kind]
        return self._outputs(X, function, "predict_log_proba", combine=log_of_mean)

    def _problem(
        self, X: Any, y: Any, sample_weight: Any, *, once: bool, first: bool, training: Problem | None = None
    ) -> Problem:
        x, y = inputs.training_rows(self, X, y, numeric=False, reset=first)
        weights = inputs.checked_weights(sample_weight, x.shape[0])
        listed = once or (self.warm_start and hasattr(self, "classes_"))  # classes of an earlier call, not of this y
        self._set_classes(y, X, once)
        if self.class_weight is not None:
            if once and training is None and self.class_weight == "balanced":
                raise ValueError(
                    "class_weight='balanced' needs all rows at once, which partial_fit does not see; "
                    "pass the weights as a dict"
                )
            if training is None:
                check_class_weight(self.class_weight, self._labels, listed)
            factors = class_factors(self.class_weight, y, self._labels, y if training is None else training.y)
            weights = factors if weights is None else weights * factors
            if not once and not np.any(weights > 0):
                raise ValueError(
                    f"class_weight={self.class_weight!r} leaves no row a weight above 0, expected at least one"
                )
        target, labels = self._labels.encode(y), self._labels
        stratify: dict[str, Any] = {}
        if labels.kind != "multilabel-indicator" and self.compat is None:
            stratify = {"classes": target.reshape(-1)}
        if labels.kind == "binary" and (self.compat is not None or np.all(np.bincount(target[:, 0]) != 1)):
            stratify = {"stratify": target.astype(bool)}
        return Problem(x, target, weights, y, LINK_LOSSES[labels.link], labels.outputs, stratify, labels.outputs)

    def _set_classes(self, y: Any, X: Any, once: bool) -> None:
        """Set ``classes_`` from y, or keep those of an earlier fit; ValueError where y has others."""
        if not hasattr(self, "classes_") or (not self.warm_start and not once):
            self._labels = Labels(y)
            self.classes_ = in_library_of(X, self._labels.classes)
            return
        self._labels.refuse_others(y, complete=self.warm_start and not once)

    def _link(self) -> str:
        return self._labels.link

    def _score_of(self, prediction: Tree, y: Any, weights: np.ndarray | None) -> float:
        probabilities = to_host(prediction)
        if not np.all(np.isfinite(probabilities)):
            return float("nan")
        return float(accuracy_score(y, self._labels.decode(probabilities), sample_weight=weights))

    def _out_of_bag(self, prediction: np.ndarray, y: Any, known: np.ndarray) -> dict[str, Any]:
        score = self._score_of(prediction[known], y[known], None) if known.any() else float("nan")
        if self._labels.kind == "binary":
            prediction = np.concatenate([1 - prediction, prediction], axis=1)
        return {"oob_score_": score, "oob_decision_function_": prediction}

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.classifier_tags.multi_label = True
        return tags
