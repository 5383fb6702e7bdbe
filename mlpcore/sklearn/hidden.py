"""transform: the activations of a hidden layer."""

from numbers import Integral
from types import SimpleNamespace
from typing import Any

import numpy as np
from sklearn.utils._set_output import _wrap_data_with_container
from sklearn.utils.metaestimators import available_if

from mlpcore.layers import Linear
from mlpcore.sklearn.combining import is_ensemble
from mlpcore.typing import Array, Loss


def _one_network(estimator: Any) -> bool:
    """True for one network; AttributeError for an ensemble, whose members have different hidden layers."""
    if is_ensemble(estimator):
        raise AttributeError(
            "an ensemble (n_members > 1) has no hidden activations of its own; use those of a member, "
            "estimators_[i].transform(X)"
        )
    return True


class HiddenActivations:
    """`transform` with a choice of layer. It names the columns of its result itself, as scikit-learn's wrapper only
    knows the names of the last hidden layer."""

    @available_if(_one_network)
    def transform(self, X: Any, layer: int = -1) -> Any:
        """The activations (n, width) of a hidden layer; ``layer`` is its number, 0 for the first, -1 for the last.

        With `set_output` the result is a frame whose columns are named for the chosen layer; `get_feature_names_out`
        gives the names of the last hidden layer. ValueError if there is no such layer.
        """
        estimator: Any = self
        estimator._check_fitted()
        number = hidden_layer(estimator, layer)
        children = estimator._predictor.net.children
        linear = [i for i, child in enumerate(children) if isinstance(child, Linear)]
        # The output of a hidden layer is the input of the next `Linear`.
        activations = estimator._outputs(X, _scores, "transform", linear[number + 1])
        prefix, width = type(self).__name__.lower(), activations.shape[1]
        named = SimpleNamespace(
            get_feature_names_out=lambda: np.array([f"{prefix}{i}" for i in range(width)], dtype=object),
            _sklearn_auto_wrap_output_keys={"transform"},
            _sklearn_output_config=getattr(self, "_sklearn_output_config", {}),
        )
        return _wrap_data_with_container("transform", activations, X, named)

    @available_if(_one_network)
    def fit_transform(self, X: Any, y: Any = None, **fit_params: Any) -> Any:
        """The activations of the last hidden layer after a `fit` to the same rows."""
        return super().fit_transform(X, y, **fit_params)  # type: ignore[misc]  # TransformerMixin's

    @available_if(_one_network)
    def get_feature_names_out(self, input_features: Any = None) -> Any:
        """The names of the columns of the last hidden layer; ``input_features`` is ignored."""
        return super().get_feature_names_out(input_features)  # type: ignore[misc]  # ClassNamePrefixFeaturesOutMixin's


def hidden_layer(estimator: Any, layer: Any) -> int:
    """The number of a hidden layer, from 0; ValueError where there is no such layer."""
    count = len(estimator.coefs_) - 1
    if not isinstance(layer, Integral) or not -count <= int(layer) < count:
        raise ValueError(f"layer is {layer!r}, expected one of the {count} hidden layers")
    return int(layer) % count


def _scores(loss: Loss, z: Array) -> Array:
    return z
