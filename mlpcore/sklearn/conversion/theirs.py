"""scikit-learn's estimator from a fitted one of ours, with what further training needs."""

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
from mlpcore.optimizers import SGD, Adam
from mlpcore.sklearn.constraints import FULL_BATCH, RATES
from mlpcore.sklearn.conversion.shared import copies, same_random, take_over
from mlpcore.sklearn.labels import Labels
from mlpcore.sklearn.runtime import on_host, tree_parts
from mlpcore.sklearn.warm_start import WarmStart
from mlpcore.typing import Layer

_THEIR_ACTIVATIONS: dict[Layer, str] = {Identity(): "identity", Sigmoid(): "logistic", Tanh(): "tanh", ReLU(): "relu"}
_THEIR_SOLVERS = (FULL_BATCH, "sgd", "adam")
_OPTIMIZERS = {"sgd": SGD, "adam": Adam}


def to_sklearn(estimator: Any) -> Any:
    """scikit-learn's estimator from a fitted one of ours: same arguments, same numbers, and it goes on from there.

    A network that scikit-learn cannot hold is a ConfigurationError: other activations than its four or several of
    them, normalization, other losses. What concerns further training only (dropout, another solver, weight decay and
    so on) is left out with a warning, as the predictions are the same. Optimizer and random numbers are taken over
    where ours has kept them, see ``warm_start``. Arrays of a device come to the host.
    """
    check_is_fitted(estimator)
    kind = neural_network.MLPClassifier if is_classifier(estimator) else neural_network.MLPRegressor
    made = kind(**_their_arguments(estimator, kind))
    take_over(estimator, made)
    made.coefs_, made.intercepts_ = copies(estimator.coefs_), copies(estimator.intercepts_)
    if is_classifier(estimator):
        made._label_binarizer = _binarizer(estimator._labels)
        made.classes_ = made._label_binarizer.classes_
    memory = getattr(estimator, "_optimizer", None)
    draws = None if memory is None else memory.draws
    given = made.random_state
    made._random_state = check_random_state(given) if draws is None else same_random(given, draws.random)
    if made.solver == FULL_BATCH:
        return made
    # The same lists, as its early stopping leaves them: what a warm start finds no better than is then overwritten.
    made._best_coefs, made._best_intercepts = made.coefs_, made.intercepts_
    if memory is not None and memory.model is not None and type(memory.model.optimizer) is _OPTIMIZERS[made.solver]:
        made._optimizer = _their_optimizer(made, memory)
    return made


def _their_optimizer(made: Any, memory: WarmStart) -> Any:
    """scikit-learn's optimizer in the state that ours is in."""
    model = memory.model
    assert model is not None
    with model.backend.scope(model.dtype):
        state = on_host(model.trainer.state)

    net: Any = model.net

    def leaves(vector: np.ndarray) -> list[np.ndarray]:
        coefs, intercepts, _ = tree_parts(net, model.layout.view(vector, state.statistics))
        return copies([*coefs, *intercepts])

    params = [*made.coefs_, *made.intercepts_]
    if made.solver == "adam":
        theirs = AdamOptimizer(params, made.learning_rate_init, made.beta_1, made.beta_2, made.epsilon)
        theirs.t = int(state.optimizer.count)
        theirs.ms, theirs.vs = leaves(state.optimizer.mean), leaves(state.optimizer.square)
        if theirs.t:
            root = np.sqrt(1 - made.beta_2**theirs.t)
            theirs.learning_rate = made.learning_rate_init * root / (1 - made.beta_1**theirs.t)
        return theirs
    words = (made.learning_rate_init, made.learning_rate, made.momentum, made.nesterovs_momentum, made.power_t)
    theirs = SGDOptimizer(params, *words)
    theirs.learning_rate = memory.learning_rate
    if state.optimizer:
        theirs.velocities = leaves(-state.optimizer.velocity)
    return theirs


def _their_arguments(estimator: Any, kind: type) -> dict[str, Any]:
    """The arguments of scikit-learn's constructor; an error or a warning tells of what it has none for."""
    activation = _their_activation(estimator)
    arguments = {name: copy.deepcopy(getattr(estimator, name)) for name in kind().get_params() if name != "activation"}
    loss = getattr(estimator, "loss", "squared_error")
    known = ("squared_error", "poisson") if "loss" in kind().get_params() else ("squared_error",)
    if not isinstance(loss, str) or loss not in known:
        raise ConfigurationError(f"to_sklearn: loss is {loss!r}, expected one of {', '.join(map(repr, known))}")
    lost = {name: value for name, value in _ours_alone(estimator).items() if value}
    if not (isinstance(arguments["solver"], str) and arguments["solver"] in _THEIR_SOLVERS):
        lost["solver"], arguments["solver"] = arguments["solver"], "adam"
    if not (isinstance(arguments["learning_rate"], str) and arguments["learning_rate"] in RATES):
        lost["learning_rate"], arguments["learning_rate"] = arguments["learning_rate"], "constant"
    if lost:
        told = ", ".join(f"{name}={value!r}" for name, value in lost.items())
        warnings.warn(
            f"to_sklearn: scikit-learn has no {told}; the predictions are the same, further training is not",
            MlpcoreWarning,
            stacklevel=4,
        )
    return arguments | {"activation": activation}


def _ours_alone(estimator: Any) -> dict[str, Any]:
    """The arguments that change training, false where they are what scikit-learn does."""
    return {
        "class_weight": getattr(estimator, "class_weight", None),
        "dropout": estimator.dropout if np.any(estimator.dropout) else 0,
        "weight_decay": estimator.weight_decay,
        "clip_norm": estimator.clip_norm,
        "scoring": estimator.scoring,
        "callbacks": tuple(estimator.callbacks),
    }


def _their_activation(estimator: Any) -> str:
    """scikit-learn's word for the one activation of all hidden layers of the fitted network."""
    layers = estimator._runtime.net.children
    if normalized := [layer for layer in layers if isinstance(layer, (BatchNorm, LayerNorm, RMSNorm))]:
        raise ConfigurationError(
            f"to_sklearn: the network has normalization, {normalized[0]!r}, which scikit-learn has not"
        )
    others = [layer for layer in layers if not isinstance(layer, (Linear, Dropout))]
    hidden = len(estimator.coefs_) - 1
    found = set(others) | ({Identity()} if len(others) < hidden else set())  # no layer stands for the identity
    if not hidden:
        given = estimator.activation
        return given if isinstance(given, str) and given in _THEIR_ACTIVATIONS.values() else "relu"
    if len(found) > 1 or not found <= _THEIR_ACTIVATIONS.keys():
        raise ConfigurationError(
            f"to_sklearn: activation is {', '.join(sorted(map(repr, found)))}, expected one of "
            f"{', '.join(map(repr, _THEIR_ACTIVATIONS.values()))} for all hidden layers"
        )
    return _THEIR_ACTIVATIONS[found.pop()]


def _binarizer(labels: Labels) -> LabelBinarizer:
    """A fitted binarizer of these labels."""
    made = LabelBinarizer()
    made.classes_, made.y_type_, made.sparse_input_ = labels.classes.copy(), labels.kind, labels.sparse
    return made
