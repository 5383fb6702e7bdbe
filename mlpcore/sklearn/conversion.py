"""Fitted models between scikit-learn and mlpcore, both ways and with what further training needs; and to ONNX."""

import copy
import warnings
from typing import Any

import numpy as np
from sklearn import neural_network
from sklearn.neural_network._stochastic_optimizers import AdamOptimizer, SGDOptimizer
from sklearn.preprocessing import LabelBinarizer
from sklearn.utils import check_random_state
from sklearn.utils.validation import check_is_fitted

from mlpcore.backends import get_backend
from mlpcore.backends.transfer import to_host
from mlpcore.errors import ConfigurationError, MlpcoreWarning
from mlpcore.files.writing import Path
from mlpcore.layers import BatchNorm, Dropout, Identity, LayerNorm, Linear, ReLU, RMSNorm, Sigmoid, Tanh
from mlpcore.losses import GaussianNLL, Quantile
from mlpcore.model import Model
from mlpcore.onnx import network_to_onnx
from mlpcore.optimizers import SGD, Adam
from mlpcore.optimizers.adam import AdamState
from mlpcore.optimizers.sgd import SGDState
from mlpcore.sklearn import translation
from mlpcore.sklearn.classifier import MLPClassifier
from mlpcore.sklearn.constraints import FULL_BATCH, RATES
from mlpcore.sklearn.draws import Draws
from mlpcore.sklearn.labels import Labels
from mlpcore.sklearn.regressor import MLPRegressor, _expected
from mlpcore.sklearn.runtime import Runtime, on_host, tree_from, tree_parts
from mlpcore.sklearn.stochastic import Memory
from mlpcore.typing import Array, Layer, Loss

_PAIRS = ((neural_network.MLPClassifier, MLPClassifier), (neural_network.MLPRegressor, MLPRegressor))
_THEIR_ACTIVATIONS: dict[Layer, str] = {Identity(): "identity", Sigmoid(): "logistic", Tanh(): "tanh", ReLU(): "relu"}
_THEIR_SOLVERS = (FULL_BATCH, "sgd", "adam")
_OPTIMIZERS = {"sgd": (SGDOptimizer, SGD), "adam": (AdamOptimizer, Adam)}
# Told by both alike, where there are epochs the second line too.
_ALWAYS = (
    "n_features_in_",
    "feature_names_in_",
    "n_iter_",
    "n_layers_",
    "n_outputs_",
    "out_activation_",
    "t_",
    "loss_",
)
_OF_EPOCHS = ("loss_curve_", "best_loss_", "validation_scores_", "best_validation_score_", "_no_improvement_count")


def from_sklearn(fitted: Any) -> MLPClassifier | MLPRegressor:
    """Our estimator from a fitted ``MLPClassifier`` or ``MLPRegressor`` of scikit-learn: same arguments, same numbers.

    It predicts the same, and ``partial_fit`` and ``warm_start`` go on where the other stands: optimizer, learning rate,
    random numbers and counts of epochs are taken over; with ``compat="sklearn"``, set afterwards, step for step as
    scikit-learn would. Nothing is shared. Errors: ConfigurationError for anything else, NotFittedError before a fit.
    """
    kind = next((ours for theirs, ours in _PAIRS if isinstance(fitted, theirs)), None)
    if kind is None:
        raise ConfigurationError(
            f"from_sklearn: got {type(fitted).__name__}, expected scikit-learn's MLPClassifier or MLPRegressor, fitted"
        )
    check_is_fitted(fitted)
    made = kind(**copy.deepcopy(fitted.get_params(deep=False)))
    _take_over(fitted, made)
    if kind is MLPClassifier:
        binarizer = fitted._label_binarizer
        made.classes_ = fitted.classes_.copy()
        made._labels = Labels.known(made.classes_, binarizer.y_type_, binarizer.sparse_input_)
        loss: Loss = translation.LINK_LOSSES[made._labels.link]
    else:
        loss = translation.regression_loss(made.loss)
    made.coefs_, made.intercepts_ = on_host(tuple(fitted.coefs_)), on_host(tuple(fitted.intercepts_))
    made.coefs_, made.intercepts_ = list(made.coefs_), list(made.intercepts_)
    net = translation.network(made, made.coefs_[0].shape[0], made.coefs_[-1].shape[1])
    others: list = [{} for _ in range(len(net.layers) - len(made.coefs_))]  # activations have no parameters
    dtype = str(made.coefs_[0].dtype)
    made._runtime = Runtime(net, loss, others, get_backend("numpy"), dtype, None)
    if made.solver != FULL_BATCH:
        made.validation_loss_curve_ = None
        # A solver that was set after the fit has no state to go on from.
        if type(getattr(fitted, "_optimizer", None)) is _OPTIMIZERS[made.solver][0]:
            made._optimizer = _memory(fitted, made, loss)
    return made


def to_sklearn(estimator: Any) -> Any:
    """scikit-learn's estimator from a fitted one of ours: same arguments, same numbers, and it goes on from there.

    A network that scikit-learn cannot hold is a ConfigurationError: other activations than its four or several of
    them, normalization, other losses. What concerns further training only (dropout, another solver, weight decay and
    so on) is left out with a warning, as the predictions are the same. Optimizer and random numbers are taken over
    where ours has kept them, see ``warm_start``. Arrays of a device come to the host.
    """
    check_is_fitted(estimator)
    kind = next(theirs for theirs, ours in _PAIRS if isinstance(estimator, ours))
    made = kind(**_their_arguments(estimator, kind))
    _take_over(estimator, made)
    made.coefs_, made.intercepts_ = _copies(estimator.coefs_), _copies(estimator.intercepts_)
    if isinstance(estimator, MLPClassifier):
        made._label_binarizer = _binarizer(estimator._labels)
        made.classes_ = made._label_binarizer.classes_
    memory = getattr(estimator, "_optimizer", None)
    draws = None if memory is None else memory.draws
    given = made.random_state
    made._random_state = check_random_state(given) if draws is None else _same_random(given, draws.random)
    if made.solver == FULL_BATCH:
        return made
    # The same lists, as its early stopping leaves them: what a warm start finds no better than is then overwritten.
    made._best_coefs, made._best_intercepts = made.coefs_, made.intercepts_
    if memory is not None and memory.model is not None and type(memory.model.optimizer) is _OPTIMIZERS[made.solver][1]:
        made._optimizer = _their_optimizer(made, memory)
    return made


def to_onnx(estimator: Any, path: Path | None = None) -> Any:
    """The fitted estimator as an ``onnx.ModelProto`` (opset 17, IR 8), also written to ``path`` where one is given.

    Input ``X`` (n, n_features_in_) in the dtype of the parameters. A classifier's outputs are ``label`` and
    ``probabilities``, as of scikit-learn's converters. A regressor's is ``variable`` (n, outputs), what `predict`
    gives, with ``variance`` for the loss "gaussian" and ``quantiles`` for a loss of quantiles beside it. Needs the
    extra ``onnx`` (MissingDependency).
    """
    check_is_fitted(estimator)
    runtime = estimator._runtime
    classes: Any = None
    if isinstance(estimator, MLPClassifier):
        labels = estimator._labels
        classes = np.repeat(labels.classes, 2) if labels.classes.shape == (1,) else labels.classes
    coefs, intercepts = _copies(estimator.coefs_), _copies(estimator.intercepts_)
    return network_to_onnx(
        runtime.net,
        tree_from(runtime.net, coefs, intercepts, on_host(tuple(runtime.others))),
        runtime.loss,
        path,
        columns=estimator.n_features_in_,
        dtype=runtime.dtype,
        classes=classes,
        outputs=None if classes is not None else lambda z: _regressed(runtime.loss, z),
    )


def _regressed(loss: Loss, z: Array) -> dict[str, Array]:
    """The outputs of a regressor by name."""
    found = {"variable": _expected(loss, z)}
    if isinstance(loss, GaussianNLL):
        found["variance"] = loss.predict(z)[1]
    if isinstance(loss, Quantile):
        found["quantiles"] = loss.predict(z)
    return found


def _take_over(old: Any, new: Any) -> None:
    """Copies of the fitted attributes that both have."""
    names = _ALWAYS if old.solver == FULL_BATCH else (*_ALWAYS, *_OF_EPOCHS)
    for name in names:
        if hasattr(old, name):
            setattr(new, name, copy.deepcopy(getattr(old, name)))


def _same_random(given: Any, now: np.random.RandomState) -> np.random.RandomState:
    """A copy of the random numbers as they stand, but NumPy's own where the estimator has none."""
    return now if given is None else copy.deepcopy(now)


def _copies(arrays: Any) -> list[np.ndarray]:
    """Host copies that may be written to, as scikit-learn's training does."""
    return [np.array(to_host(array), order="C") for array in arrays]


def _memory(fitted: Any, made: Any, loss: Loss) -> Memory:
    """What our next fit goes on from: a model with the state of scikit-learn's optimizer, its draws and its rate."""
    theirs, runtime = fitted._optimizer, made._runtime
    net, others = runtime.net, runtime.others
    model = Model(
        net,
        translation.reported(loss, made.compat),
        translation.optimizer(made, int(made.max_iter)),
        dtype=runtime.dtype,
        params=tree_from(net, made.coefs_, made.intercepts_, others),
        **translation.rules(made),
    )
    layers = len(made.coefs_)

    def flat(leaves: list[np.ndarray]) -> np.ndarray:
        return model.layout.flat(tree_from(net, leaves[:layers], leaves[layers:], others))

    state = model.trainer.state
    if isinstance(theirs, AdamOptimizer):
        count = np.asarray(theirs.t)
        moments: Any = AdamState(count.astype(runtime.dtype), flat(theirs.ms), flat(theirs.vs))
        state = state._replace(optimizer=moments, count=count.astype(state.count.dtype))
        rate = float(made.learning_rate_init)
    else:
        # Theirs is what is added to the parameters, ours what is taken away.
        state = state._replace(optimizer=SGDState(-flat(theirs.velocities)) if state.optimizer else ())
        rate = float(theirs.learning_rate)
    model.trainer.state = state
    draws = Draws(_same_random(fitted.random_state, fitted._random_state))
    return Memory(model, draws, rate)


def _their_optimizer(made: Any, memory: Memory) -> Any:
    """scikit-learn's optimizer in the state that ours is in."""
    model = memory.model
    assert model is not None
    with model.backend.scope(model.dtype):
        state = on_host(model.trainer.state)

    net: Any = model.net

    def leaves(vector: np.ndarray) -> list[np.ndarray]:
        coefs, intercepts, _ = tree_parts(net, model.layout.view(vector, state.statistics))
        return _copies([*coefs, *intercepts])

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
    layers = estimator._runtime.net.layers
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
