"""Points for the check: random inputs, parameters, noise and weights, with the gradients that are checked."""

from typing import Any

from array_api_compat import device as device_of

from mlpcore.errors import ConfigurationError, DataError
from mlpcore.gradient_check.differences import Point
from mlpcore.namespace import namespace
from mlpcore.random import Stream
from mlpcore.trees import is_statistic, named_leaves, tree_map
from mlpcore.typing import Array, Layer, Loss, Params, Training

ROWS = 6
WIDEST = 4096  # the largest number of columns that is tried


def layer_point(layer: Layer, x: Array | None, draws: Stream) -> Point:
    """A layer at ``x`` or at drawn rows: f is the sum of its output times a drawn ``dy``."""
    x = _inputs((ROWS, input_width(layer)), draws) if x is None else _shifted(x, draws)
    xp = namespace(x)
    layer.output_width(x.shape[-1])
    params = layer.init(draws.child("init"), "float64")
    jitter = draws.child("params")
    noise = layer.noise(draws.child("noise"), tuple(x.shape), "float64")
    moved = {
        name: leaf if is_statistic(name) else leaf + 0.1 * jitter.child(name).normal(leaf.shape)
        for name, leaf in named_leaves(params)
    }
    params = tree_map(lambda leaf: like(x, leaf), _with_leaves(params, moved))
    weights = 0.5 + draws.child("weights").uniform((x.shape[0],))
    training = Training(*tree_map(lambda leaf: like(x, leaf), (noise, weights)))
    y, cache = layer.forward(params, x, training)
    dy = like(x, draws.child("dy").normal(tuple(y.shape)))
    dx, grads = layer.backward(params, cache, dy)
    parameters = {f"params.{name}": leaf for name, leaf in named_leaves(params)}

    def summands(leaves: dict[str, Array]) -> Array:
        changed = {name.removeprefix("params."): leaves.get(name, leaf) for name, leaf in parameters.items()}
        y, _ = layer.forward(_with_leaves(params, changed), leaves["x"], training)
        return xp.reshape(dy * y, (-1,))

    trained = {name: leaf for name, leaf in parameters.items() if not is_statistic(name)}
    return Point({"x": x, **trained}, summands, {"x": dx, **{f"params.{k}": g for k, g in named_leaves(grads)}})


def loss_point(
    loss: Loss, z: Array | None, columns: int, target: Array, weights_shape: tuple[int, ...], draws: Stream
) -> Point:
    """A loss at the scores ``z`` or at drawn ones, for a prepared target and drawn weights."""
    z = _inputs((target.shape[0], columns), draws) if z is None else _shifted(z, draws)
    weights = like(z, 0.5 + draws.child("weights").uniform(weights_shape))
    target = like(z, target)
    _, dz = loss.value_and_grad(z, target, weights)
    return Point({"z": z}, lambda leaves: loss.value_and_grad(leaves["z"], target, weights)[0], {"z": dz})


def input_width(layer: Layer) -> int:
    """A number of columns that the layer takes: 5, else the smallest."""
    n_in: int
    for n_in in (5, *range(1, WIDEST + 1)):
        try:
            layer.output_width(n_in)
        except ConfigurationError:
            continue
        return n_in
    raise ConfigurationError(
        f"check_gradients: {layer!r} takes none of 1 to {WIDEST} columns; pass x with the right number"
    )


def _inputs(shape: tuple[int, ...], draws: Stream) -> Array:
    """Standard normals."""
    return draws.child("x").normal(shape)


def _shifted(x: Array, draws: Stream) -> Array:
    """x as float64, shifted by about 0.01 in all attempts but the first."""
    xp = namespace(x)
    x = xp.astype(x, xp.float64)
    if x.dtype != xp.float64:
        raise DataError("check_gradients: x cannot be converted to float64; enable 64-bit numbers in its library")
    return x if draws.path.endswith(".0") else x + 0.01 * like(x, _inputs(tuple(x.shape), draws))


def like(sample: Array, values: Any) -> Array:
    """Host values as an array of the library and on the device of ``sample``."""
    if type(values) is type(sample):
        return values
    return namespace(sample).asarray(values, device=device_of(sample))


def _with_leaves(tree: Params, leaves: dict[str, Any]) -> Params:
    """The tree with these leaves, by name, in place of its own."""
    values = iter([leaves[name] for name, _ in named_leaves(tree)])
    return tree_map(lambda _: next(values), tree)
