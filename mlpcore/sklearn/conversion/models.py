"""Converts fitted estimators to mlpcore's models."""

from typing import Any

from mlpcore.model import Model
from mlpcore.sklearn import translation
from mlpcore.sklearn.predictor import on_host, tree_from
from mlpcore.stacks.ensemble import Ensemble


def to_model(estimator: Any, backend: str = "numpy", device: Any = None) -> Model | Ensemble:
    """The fitted network as an `mlpcore.Model` with a copy of its parameters; of an ensemble an `mlpcore.Ensemble`.

    Its loss is the true one, also with ``compat="sklearn"``, which reports another value. ``backend`` and ``device``
    are as for `mlpcore.Model`. It trains in one process.
    """
    if "estimators_" in vars(estimator):
        return Ensemble([_network_to_model(member, backend, device) for member in estimator.estimators_])
    return _network_to_model(estimator, backend, device)


def _network_to_model(estimator: Any, backend: str, device: Any) -> Model:
    predictor = estimator._predictor
    steps = int(estimator.max_iter)
    return Model(
        predictor.net,
        predictor.loss,
        translation.optimizer(estimator, steps),
        backend=backend,
        device=device,
        dtype=predictor.dtype,
        params=on_host(tree_from(predictor.net, estimator.coefs_, estimator.intercepts_, predictor.others)),
        distributed=None,
        **translation.rules(estimator),
    )
