"""An estimator of ours from a fitted one of scikit-learn, with what further training needs."""

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
from mlpcore.sklearn.regressor import MLPRegressor
from mlpcore.sklearn.runtime import Runtime, on_host, tree_from
from mlpcore.sklearn.warm_start import WarmStart
from mlpcore.typing import Loss

_PAIRS = ((neural_network.MLPClassifier, MLPClassifier), (neural_network.MLPRegressor, MLPRegressor))
_OPTIMIZERS = {"sgd": SGDOptimizer, "adam": AdamOptimizer}


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
    take_over(fitted, made)
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
    others: list = [{} for _ in range(len(net.children) - len(made.coefs_))]  # activations have no parameters
    dtype = str(made.coefs_[0].dtype)
    made._runtime = Runtime(net, loss, others, get_backend("numpy"), dtype, None)
    if made.solver != FULL_BATCH:
        made.validation_loss_curve_ = None
        # A solver that was set after the fit has no state to go on from.
        if type(getattr(fitted, "_optimizer", None)) is _OPTIMIZERS[made.solver]:
            made._optimizer = _memory(fitted, made, loss)
    return made


def _memory(fitted: Any, made: Any, loss: Loss) -> WarmStart:
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
    draws = Draws(same_random(fitted.random_state, fitted._random_state))
    return WarmStart(model, draws, rate)
