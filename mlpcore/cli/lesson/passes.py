"""The numbers of one row, computed by the library: every layer's forward and backward, the loss, and an update."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from mlpcore.layers import Linear
from mlpcore.model import Model
from mlpcore.trees import tree_map
from mlpcore.typing import Params

STEP = 1e-5  # by which one weight is changed to measure the slope of the loss

Numbers = dict[str, np.ndarray]


def array_names(layers: tuple[Any, ...]) -> list[tuple[str, str]]:
    """For each layer the names of its input and output: ("x", "z1"), ("z1", "a1"), ("a1", "z2") and so on.

    z are the outputs of Linear layers, a those of activations. The last ones are the scores.
    """
    names, name, count = list[tuple[str, str]](), "x", 0
    for layer in layers:
        count += isinstance(layer, Linear)
        after = f"z{count}" if isinstance(layer, Linear) else f"a{count}"
        names.append((name, after))
        name = after
    return names


def prepared(model: Model, y: np.ndarray, outputs: int) -> np.ndarray:
    """The target as the loss encodes it."""
    return np.asarray(model.loss.prepare(y, outputs, np.dtype(model.dtype)))


def shown_target(target: np.ndarray, outputs: int) -> np.ndarray:
    """The encoded target as the columns (n, outputs) that the formulas name t: 0 and 1 for a class."""
    return np.eye(outputs)[target] if target.ndim == 1 else target


def row_numbers(
    model: Model, params: Params, x: np.ndarray, target: np.ndarray, shown: Sequence[Sequence[int]]
) -> Numbers:
    """All arrays of a training step on one row, x (1, columns), by name; matrices have a row for the row of data.

    x, z1, a1, ... as in `array_names`, t, p, L (1, 1) of the loss; dz, da the gradients with respect to z and a, dW and
    db those of each Linear; new_W and new_b its parameters after an update by this row alone, and new_L the loss with
    these. measured1, ... (1, 4) compare the gradient of one weight of each Linear with the slope of the loss: row and
    column of the weight, counted from 1, the slope by central differences, and the gradient. It is the weight with the
    largest gradient among those in the rows and columns that are ``shown`` of x and of the output of every Linear.
    """
    layers, ones = model.net.layers, np.ones(1)  # type: ignore[attr-defined]  # a Sequential
    names, found, caches, value = array_names(layers), {"x": x}, [], x
    for layer, part, (_, after) in zip(layers, params, names, strict=True):
        value, cache = layer.forward(part, value)
        caches.append(cache)
        found[after] = value
    loss, dy = model.loss.value_and_grad(value, target, ones)
    found |= {"t": shown_target(target, value.shape[1]), "p": model.loss.predict(value), "L": np.reshape(loss, (1, 1))}
    gradients: list[Params] = [{}] * len(layers)
    for i in reversed(range(len(layers))):
        found[f"d{names[i][1]}"] = dy
        dy, gradients[i] = layers[i].backward(params[i], caches[i], dy, need_dx=i > 0)
    new = _updated(model, params, tuple(gradients))
    for layer, part, gradient, old, (_, after) in zip(layers, new, gradients, params, names, strict=True):
        if isinstance(layer, Linear):
            k = after[1:]
            found |= {f"dW{k}": gradient["weight"], f"db{k}": gradient["bias"][None, :]}
            found |= {f"new_W{k}": part["weight"], f"new_b{k}": part["bias"][None, :]}
            place = _largest(gradient["weight"], shown[int(k) - 1], shown[int(k)])
            slope = _slope(model, params, old["weight"], place, x, target)
            found[f"measured{k}"] = np.array([[place[0] + 1, place[1] + 1, slope, gradient["weight"][place]]])
    found["new_L"] = _loss(model, new, x, target)
    return {name: np.asarray(array) for name, array in found.items()}


def _updated(model: Model, params: Params, gradients: Params) -> Params:
    """The parameters after one update of the optimizer with these gradients."""
    vector, layout = model.layout.flat(params), model.layout
    rate = np.asarray(model.optimizer.learning_rate)
    new, _ = model.optimizer.update(layout.flat(gradients), model.optimizer.init(vector), vector, rate)
    return layout.view(new)


def _loss(model: Model, params: Params, x: np.ndarray, target: np.ndarray) -> np.ndarray:
    """The loss of the row (1, 1)."""
    scores, _ = model.net.forward(params, x)
    return np.reshape(model.loss.value_and_grad(scores, target, np.ones(1))[0], (1, 1))


def _largest(gradient: np.ndarray, rows: Sequence[int], columns: Sequence[int]) -> tuple[int, int]:
    """The place of the largest entry among these rows and columns."""
    i, j = divmod(int(np.abs(gradient[np.ix_(rows, columns)]).argmax()), len(columns))
    return rows[i], columns[j]


def _slope(
    model: Model, params: Params, weight: np.ndarray, place: tuple[int, int], x: np.ndarray, target: np.ndarray
) -> float:
    """``(L(w + h) - L(w - h)) / 2h`` for the entry w of a weight at this place."""

    def loss_at(change: float) -> float:
        changed = weight.copy()
        changed[place] += change
        changed_params = tree_map(lambda leaf: changed if leaf is weight else leaf, params)
        return float(_loss(model, changed_params, x, target)[0, 0])

    return (loss_at(STEP) - loss_at(-STEP)) / (2 * STEP)
