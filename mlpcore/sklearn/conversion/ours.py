"""Converts a fitted estimator of scikit-learn to mlpcore's, with the state that further training needs."""

import copy
from typing import Any

import numpy as np
from sklearn import neural_network
from sklearn.neural_network._stochastic_optimizers import AdamOptimizer, SGDOptimizer
from sklearn.utils.validation import check_is_fitted

from mlpcore.backends import get_backend
from mlpcore.errors import ConfigurationError
from mlpcore.model import Model
from mlpcore.optimizers.adam import AdamState
from mlpcore.optimizers.sgd import SGDState
from mlpcore.sklearn import translation
from mlpcore.sklearn.classifier import MLPClassifier
from mlpcore.sklearn.constraints import FULL_BATCH
from mlpcore.sklearn.conversion.shared import same_random, take_over
from mlpcore.sklearn.draws import Draws
from mlpcore.sklearn.labels import Labels
from mlpcore.sklearn.predictor import Predictor, on_host, tree_from
from mlpcore.sklearn.regressor import MLPRegressor
from mlpcore.sklearn.warm_start import WarmStart
from mlpcore.typing import Loss

_PAIRS = ((neural_network.MLPClassifier, MLPClassifier), (neural_network.MLPRegressor, MLPRegressor))
_OPTIMIZERS = {"sgd": SGDOptimizer, "adam": AdamOptimizer}


def from_sklearn(fitted: Any) -> MLPClassifier | MLPRegressor:
    """mlpcore's estimator from a fitted ``MLPClassifier`` or ``MLPRegressor`` of scikit-learn, with the same arguments.

    It predicts the same. ``partial_fit`` and ``warm_start`` continue the training, as optimizer state, learning rate,
    random numbers and epoch counts are copied; with ``compat="sklearn"`` set afterwards, every step is that of
    scikit-learn. No array is shared. Errors: ConfigurationError for any other object, NotFittedError before a fit.
    """
    kind = next((ours for theirs, ours in _PAIRS if isinstance(fitted, theirs)), None)
    if kind is None:
        raise ConfigurationError(
            f"from_sklearn: got {type(fitted).__name__}, expected scikit-learn's MLPClassifier or MLPRegressor, fitted"
        )
    check_is_fitted(fitted)
    estimator = kind(**copy.deepcopy(fitted.get_params(deep=False)))
    take_over(fitted, estimator)
    if kind is MLPClassifier:
        binarizer = fitted._label_binarizer
        estimator.classes_ = fitted.classes_.copy()
        estimator._labels = Labels.known(estimator.classes_, binarizer.y_type_, binarizer.sparse_input_)
        loss: Loss = translation.LINK_LOSSES[estimator._labels.link]
    else:
        loss = translation.regression_loss(estimator.loss)
    estimator.coefs_, estimator.intercepts_ = on_host(tuple(fitted.coefs_)), on_host(tuple(fitted.intercepts_))
    estimator.coefs_, estimator.intercepts_ = list(estimator.coefs_), list(estimator.intercepts_)
    net = translation.network(estimator, estimator.coefs_[0].shape[0], estimator.coefs_[-1].shape[1])
    other_params: list = [{} for _ in range(len(net.children) - len(estimator.coefs_))]  # of the activations: none
    dtype = str(estimator.coefs_[0].dtype)
    estimator._predictor = Predictor(net, loss, other_params, get_backend("numpy"), dtype, None)
    if estimator.solver != FULL_BATCH:
        estimator.validation_loss_curve_ = None
        # If the solver was changed after the fit, there is no optimizer state for it.
        if type(getattr(fitted, "_optimizer", None)) is _OPTIMIZERS[estimator.solver]:
            estimator._optimizer = _warm_start(fitted, estimator, loss)
    return estimator


def _warm_start(fitted: Any, estimator: Any, loss: Loss) -> WarmStart:
    """The state for a warm start: a model with scikit-learn's optimizer state, its random numbers and learning rate."""
    theirs, predictor = fitted._optimizer, estimator._predictor
    net, other_params = predictor.net, predictor.others
    model = Model(
        net,
        translation.reported(loss, estimator.compat),
        translation.optimizer(estimator, int(estimator.max_iter)),
        dtype=predictor.dtype,
        params=tree_from(net, estimator.coefs_, estimator.intercepts_, other_params),
        distributed=None,
        **translation.rules(estimator),
    )
    layers = len(estimator.coefs_)

    def flat(leaves: list[np.ndarray]) -> np.ndarray:
        return model.layout.flat(tree_from(net, leaves[:layers], leaves[layers:], other_params))

    state = model.trainer.state
    if isinstance(theirs, AdamOptimizer):
        count = np.asarray(theirs.t)
        moments: Any = AdamState(count.astype(predictor.dtype), flat(theirs.ms), flat(theirs.vs))
        state = state._replace(optimizer=moments, count=count.astype(state.count.dtype))
        rate = float(estimator.learning_rate_init)
    else:
        # scikit-learn's velocity is added to the parameters, mlpcore's is subtracted.
        state = state._replace(optimizer=SGDState(-flat(theirs.velocities)) if state.optimizer else ())
        rate = float(theirs.learning_rate)
    model.trainer.state = state
    draws = Draws(same_random(fitted.random_state, fitted._random_state))
    return WarmStart(model, draws, rate)
