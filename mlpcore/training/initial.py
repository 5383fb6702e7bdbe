"""Initial parameters from data: every unit begins with a spread of 1 and with its kink among the rows."""

from typing import Any

import numpy as np

from mlpcore.layers import Linear, Rates, Sequential
from mlpcore.random import Stream
from mlpcore.trees import tree_map
from mlpcore.typing import Layer, Params

POINTS = 5  # rows whose weighted mean is where a unit is zero


def data_driven_init(net: Layer, params: Params, x: Any, rng: Stream) -> Params:
    """The parameters of a network, those of its Linear layers changed so that they fit the training rows.

    Layer after layer, with the outputs of the layers before on the rows x (n, columns), z being the products of a
    Linear without its bias::

        weight_j /= std(z_j)            each unit j, over the rows; a unit that is constant keeps its weights
        bias_j = -sum_i a_i z_ij        over 5 rows i, drawn for each unit with replacement

    where the shares a are uniform over all that sum to 1. So the units before an activation have standard deviation 1,
    and are 0, where an activation bends, at points inside the data ("he+5").

    ``net`` is a Linear, or a Sequential or `Rates` of such; other layers keep their parameters, containers of other
    kinds too. x is an array on the host, of finite numbers; a sample of some thousand rows is enough. The result has
    host arrays of the dtype of ``params``, for ``Model(..., params=...)``.

    Source: Holzmüller, Grinsztajn & Steinwart (2024), "Better by default: strong pre-tuned MLPs and boosted trees on
    tabular data", sec. 3 and appendix.
    """
    wide = tree_map(lambda leaf: np.asarray(leaf, dtype=np.float64), params)
    fitted, _ = _through(net, wide, np.asarray(x, dtype=np.float64), rng)
    return tree_map(lambda leaf, before: leaf.astype(before.dtype), fitted, params)


def _through(layer: Layer, params: Params, x: np.ndarray, rng: Stream) -> tuple[Params, np.ndarray]:
    """The changed parameters of a layer, and its output for x with them."""
    if isinstance(layer, Linear):
        return _fitted(layer, params, x, rng)
    if isinstance(layer, (Sequential, Rates)):
        parts = []
        for i, child in enumerate(layer.children):
            part, x = _through(child, params[i], x, rng.child(i))
            parts.append(part)
        return tuple(parts), x
    return params, layer.forward(params, x)[0]


def _fitted(layer: Linear, params: Params, x: np.ndarray, rng: Stream) -> tuple[Params, np.ndarray]:
    z, _ = layer.forward({**params, "bias": np.zeros(layer.out_features)}, x)
    spread = z.std(axis=0)
    spread = np.where(spread > 0, spread, 1.0)
    z = z / spread
    params = params | {"weight": params["weight"] / spread}
    if layer.bias:
        rows = (rng.child("rows").uniform((POINTS, layer.out_features)) * len(x)).astype(np.int64)
        edges = np.sort(rng.child("shares").uniform((POINTS - 1, layer.out_features)), axis=0)
        shares = np.diff(edges, axis=0, prepend=0.0, append=1.0)
        params["bias"] = -np.sum(shares * np.take_along_axis(z, rows, axis=0), axis=0)
        z = z + params["bias"]
    return params, z
