"""Converts a fitted estimator of mlpcore to scikit-learn's, with the state that further training needs."""

import copy
import warnings
from typing import Any

import numpy as np
from sklearn import neural_network
from sklearn.base import is_classifier
from sklearn.neural_network._stochastic_optimizers import AdamOptimizer, SGDOptimizer
from sklearn.preprocessing import LabelBinarizer
from sklearn.utils import check_random_state
from sklearn.utils.validation import check_is_fitted

from mlpcore.errors import ConfigurationError, MlpcoreWarning
from mlpcore.layers import BatchNorm, Dropout, Identity, LayerNorm, Linear, ReLU, RMSNorm, Sigmoid, Tanh
from mlpcore.losses import StandardizedTarget
from mlpcore.optimizers import SGD, Adam
from mlpcore.sklearn.combining import is_ensemble
from mlpcore.sklearn.constraints import FULL_BATCH, RATES
from mlpcore.sklearn.conversion.shared import copies, same_random, take_over
from mlpcore.sklearn.labels import Labels
from mlpcore.sklearn.predictor import on_host, tree_parts
from mlpcore.sklearn.warm_start import WarmStart
from mlpcore.typing import Layer

_THEIR_ACTIVATIONS: dict[Layer, str] = {Identity(): "identity", Sigmoid(): "logistic", Tanh(): "tanh", ReLU(): "relu"}
_THEIR_SOLVERS = (FULL_BATCH, "sgd", "adam")
_OPTIMIZERS = {"sgd": SGD, "adam": Adam}


def to_sklearn(estimator: Any) -> Any:
    """scikit-learn's estimator from a fitted one of mlpcore, with the same arguments, predictions and training state.

    ConfigurationError for an ensemble and for a network that scikit-learn cannot represent: other activations than its
    four, several different ones, normalization, other losses. Arguments that affect only further training (dropout,
    another solver, weight decay and so on) are dropped with a warning, as predictions stay the same. Optimizer state
    and random numbers are copied if the estimator has kept them, see ``warm_start``. Arrays of a device are copied to
    the host.
    """
    check_is_fitted(estimator)
    if is_ensemble(estimator):
        raise ConfigurationError(
            "to_sklearn: scikit-learn's estimators have one network, expected n_members=1; convert the members, "
            "estimators_[i].to_sklearn()"
        )
    kind = neural_network.MLPClassifier if is_classifier(estimator) else neural_network.MLPRegressor
    converted = kind(**_their_arguments(estimator, kind))
    take_over(estimator, converted)
    converted.coefs_, converted.intercepts_ = copies(estimator.coefs_), copies(estimator.intercepts_)
    if isinstance(loss := estimator._predictor.loss, StandardizedTarget):  # the last layer gives the units of y
        converted.coefs_[-1] *= np.asarray(loss.scale, converted.coefs_[-1].dtype)
        converted.intercepts_[-1] *= np.asarray(loss.scale, converted.intercepts_[-1].dtype)
        converted.intercepts_[-1] += np.asarray(loss.mean, converted.intercepts_[-1].dtype)
    if is_classifier(estimator):
        converted._label_binarizer = _binarizer(estimator._labels)
        converted.classes_ = converted._label_binarizer.classes_
    warm_start = getattr(estimator, "_optimizer", None)
    draws = None if warm_start is None else warm_start.draws
    random_state = converted.random_state
    converted._random_state = (
        check_random_state(random_state) if draws is None else same_random(random_state, draws.random)
    )
    if converted.solver == FULL_BATCH:
        return converted
    # The lists themselves, not copies: after early stopping scikit-learn has the same, and overwrites them in place.
    converted._best_coefs, converted._best_intercepts = converted.coefs_, converted.intercepts_
    if (
        warm_start is not None
        and warm_start.model is not None
        and not isinstance(loss, StandardizedTarget)
        and type(warm_start.model.optimizer) is _OPTIMIZERS[converted.solver]
    ):
        converted._optimizer = _their_optimizer(converted, warm_start)
    return converted


def _their_optimizer(converted: Any, warm_start: WarmStart) -> Any:
    """scikit-learn's optimizer with the state of mlpcore's."""
    model = warm_start.model
    assert model is not None
    with model.backend.scope(model.dtype):
        state = on_host(model.trainer.state)

    net: Any = model.net

    def leaves(vector: np.ndarray) -> list[np.ndarray]:
        coefs, intercepts, _ = tree_parts(net, model.layout.view(vector, state.statistics))
        return copies([*coefs, *intercepts])

    params = [*converted.coefs_, *converted.intercepts_]
    if converted.solver == "adam":
        theirs = AdamOptimizer(
            params, converted.learning_rate_init, converted.beta_1, converted.beta_2, converted.epsilon
        )
        theirs.t = int(state.optimizer.count)
        theirs.ms, theirs.vs = leaves(state.optimizer.first_moment), leaves(state.optimizer.second_moment)
        if theirs.t:
            root = np.sqrt(1 - converted.beta_2**theirs.t)
            theirs.learning_rate = converted.learning_rate_init * root / (1 - converted.beta_1**theirs.t)
        return theirs
    words = (
        converted.learning_rate_init,
        converted.learning_rate,
        converted.momentum,
        converted.nesterovs_momentum,
        converted.power_t,
    )
    theirs = SGDOptimizer(params, *words)
    theirs.learning_rate = warm_start.learning_rate
    if state.optimizer:
        theirs.velocities = leaves(-state.optimizer.velocity)
    return theirs


def _their_arguments(estimator: Any, kind: type) -> dict[str, Any]:
    """The arguments of scikit-learn's constructor; an error or a warning for those that it does not have."""
    activation = _their_activation(estimator)
    arguments = {name: copy.deepcopy(getattr(estimator, name)) for name in kind().get_params() if name != "activation"}
    loss = getattr(estimator, "loss", "squared_error")
    losses = ("squared_error", "poisson") if "loss" in kind().get_params() else ("squared_error",)
    if not isinstance(loss, str) or loss not in losses:
        raise ConfigurationError(f"to_sklearn: loss is {loss!r}, expected one of {', '.join(map(repr, losses))}")
    dropped = {name: value for name, value in _only_ours(estimator).items() if value}
    if not (isinstance(arguments["solver"], str) and arguments["solver"] in _THEIR_SOLVERS):
        dropped["solver"], arguments["solver"] = arguments["solver"], "adam"
    if not (isinstance(arguments["learning_rate"], str) and arguments["learning_rate"] in RATES):
        dropped["learning_rate"], arguments["learning_rate"] = arguments["learning_rate"], "constant"
    if dropped:
        names = ", ".join(f"{name}={value!r}" for name, value in dropped.items())
        warnings.warn(
            f"to_sklearn: scikit-learn has no {names}; the predictions are the same, further training is not",
            MlpcoreWarning,
            stacklevel=4,
        )
    return arguments | {"activation": activation}


def _only_ours(estimator: Any) -> dict[str, Any]:
    """The arguments that scikit-learn lacks and that change training; a false value has no effect."""
    return {
        "class_weight": getattr(estimator, "class_weight", None),
        "standardize_target": getattr(estimator, "standardize_target", False),
        "missing_targets": "skip" if getattr(estimator, "missing_targets", "error") == "skip" else None,
        "dropout": estimator.dropout if np.any(estimator.dropout) else 0,
        "weight_decay": estimator.weight_decay,
        "clip_norm": estimator.clip_norm,
        "on_nonfinite": None if estimator.on_nonfinite == "raise" else estimator.on_nonfinite,
        "scoring": estimator.scoring,
        "validation_split": estimator.validation_split,
        "callbacks": tuple(estimator.callbacks),
    }


def _their_activation(estimator: Any) -> str:
    """scikit-learn's name of the activation of all hidden layers; ConfigurationError if it has none."""
    layers = estimator._predictor.net.children
    if normalized := [layer for layer in layers if isinstance(layer, (BatchNorm, LayerNorm, RMSNorm))]:
        raise ConfigurationError(
            f"to_sklearn: the network has normalization, {normalized[0]!r}, which scikit-learn does not have; fit "
            "without it"
        )
    activations = [layer for layer in layers if not isinstance(layer, (Linear, Dropout))]
    hidden = len(estimator.coefs_) - 1
    distinct = set(activations) | ({Identity()} if len(activations) < hidden else set())  # the identity has no layer
    if not hidden:
        activation = estimator.activation
        return activation if isinstance(activation, str) and activation in _THEIR_ACTIVATIONS.values() else "relu"
    if len(distinct) > 1 or not distinct <= _THEIR_ACTIVATIONS.keys():
        raise ConfigurationError(
            f"to_sklearn: activation is {', '.join(sorted(map(repr, distinct)))}, expected one of "
            f"{', '.join(map(repr, _THEIR_ACTIVATIONS.values()))} for all hidden layers"
        )
    return _THEIR_ACTIVATIONS[distinct.pop()]


def _binarizer(labels: Labels) -> LabelBinarizer:
    """A fitted binarizer of these labels."""
    binarizer = LabelBinarizer()
    binarizer.classes_, binarizer.y_type_, binarizer.sparse_input_ = labels.classes.copy(), labels.kind, labels.sparse
    return binarizer
