"""`check_gradients`: a written-out backward pass against central differences of its own forward pass."""

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import numpy as np
from array_api_compat import device as device_of

from mlpcore.errors import ConfigurationError, DataError, GradientCheckError
from mlpcore.namespace import namespace
from mlpcore.random import Stream
from mlpcore.trees import is_statistic, named_leaves, tree_map
from mlpcore.typing import Array, Layer, Loss, Params, Training

TOLERANCE = 1e-6  # relative; the differences themselves are good to about 1e-9
STEP = 1e-4  # along directions of length 1
DIRECTIONS = 3  # that every leaf must pass
DRAWS = 60  # at most, to find as many points without a kink
ROWS = 6
WIDEST = 4096  # columns tried, to find out how many a layer takes


class Point(NamedTuple):
    """A place to differentiate at: the arrays that move, the summands of f as a function of them, and df."""

    leaves: dict[str, Array]
    summands: Callable[[dict[str, Array]], Array]
    grads: dict[str, Array]


def check_gradients(
    layer_or_loss: Layer | Loss, *, x: Array | None = None, target: Array | None = None, seed: int = 0
) -> dict[str, float]:
    """Compare ``backward`` (or ``value_and_grad``) with central differences in float64, or raise GradientCheckError.

    For a layer, ``f = sum(u * forward(params, x, training))`` with random u, and the leaves are ``x`` and every
    parameter; for a loss, f is the weighted sum and the leaf is ``z``. For each leaf and three random directions v of
    length 1, ``sum(grad * v)`` must be ``(f(+h v) - f(-h v)) / 2h`` to a relative error of 1e-6; below that,
    differences of the size of the rounding error of f are let pass. Shapes, parameters, noise, row weights and targets
    are drawn from ``seed``: parameters near the initial ones, and for a loss every kind of target that its ``prepare``
    accepts. ``x`` (n, in) is the input, or z for a loss: its library and device are then used, and it is taken at
    float64.

    Kinks: a point counts only where four estimates of the slope (from the left, from the right, central with h and
    with h / 2) agree to the same 1e-6; where they do not, all is drawn anew, and an ``x`` that was given is shifted
    by about a hundredth. So what a layer says exactly at a kink is not judged.

    Returns the largest relative error of each leaf. GradientCheckError names the leaf and both numbers; it is also
    raised for gradients that do not mirror the parameters and for a forward pass without a smooth point.
    """
    if isinstance(layer_or_loss, type) or not isinstance(layer_or_loss, (Layer, Loss)):
        raise ConfigurationError(
            f"check_gradients: {layer_or_loss!r} is neither a layer nor a loss; pass an object such as ReLU()"
        )
    if x is not None and x.ndim != 2:
        raise ConfigurationError(
            f"check_gradients: x has the shape {tuple(x.shape)}, expected two axes, (rows, columns)"
        )
    stream = Stream(seed, "gradient_check")
    if isinstance(layer_or_loss, Layer):
        if target is not None:
            raise ConfigurationError(f"check_gradients: {layer_or_loss!r} is a layer, which takes no target")
        return _check(layer_or_loss, "", stream, partial(_layer_point, layer_or_loss, x))
    report: dict[str, float] = {}
    for kind, columns, prepared in _prepared_targets(layer_or_loss, x, target, stream.child("target")):
        point_at = partial(_loss_point, layer_or_loss, x, columns, prepared)
        found = _check(layer_or_loss, f", target of {kind}", stream.child(kind), point_at)
        report = {name: max(error, report.get(name, 0.0)) for name, error in found.items()}
    return report


def input_width(layer: Layer) -> int:
    """Columns to try a layer on: 5, or the first number that it takes."""
    for n_in in (5, *range(1, WIDEST + 1)):
        try:
            layer.widths(n_in)
        except ConfigurationError:
            continue
        return n_in
    raise ConfigurationError(
        f"check_gradients: {layer!r} takes none of 1 to {WIDEST} columns; pass x with the right number"
    )


def draw_targets(stream: Stream, rows: int, columns: int) -> dict[str, np.ndarray]:
    """Raw targets of every kind that a loss may ask for, ``(rows, columns)`` or labels ``(rows,)``."""
    uniform = stream.child("uniform").uniform((rows, columns))
    return {
        "reals": stream.child("reals").normal((rows, columns)),
        "counts": np.floor(4 * uniform),
        "flags": np.floor(2 * uniform),
        "probabilities": (uniform + 0.1) / np.sum(uniform + 0.1, axis=-1, keepdims=True),
        "labels": np.floor(columns * uniform[:, 0]).astype(np.int64),
    }


def _check(who: Layer | Loss, where: str, stream: Stream, point_at: Callable[[Stream], Point]) -> dict[str, float]:
    """Draw points until every leaf has passed along enough directions; the largest error of each."""
    passed: dict[str, list[float]] = {}
    slopes: dict[str, list[float]] = {}
    for attempt in range(DRAWS):
        draws = stream.child(attempt)
        point = point_at(draws)
        _same_names_and_shapes(who, point)
        for name, leaf in point.leaves.items():
            errors = passed.setdefault(name, [])
            if len(errors) == DIRECTIONS or 0 in leaf.shape:
                continue
            v = _direction(draws.child("direction").child(name), leaf)
            slopes[name], noise = _slopes(point, name, v)
            claimed = float(namespace(leaf).sum(point.grads[name] * v))
            measured = slopes[name][-1]
            if not max(slopes[name]) - min(slopes[name]) <= TOLERANCE * abs(measured) + noise:
                continue
            size = max(abs(claimed), abs(measured)) + noise / TOLERANCE
            error = abs(claimed - measured) / (size or 1.0)
            if not error <= TOLERANCE:
                raise GradientCheckError(
                    f"{who!r}{where}: the gradient of {name} {tuple(leaf.shape)} along a random direction is "
                    f"{claimed:.12g}, expected {measured:.12g} by central differences (relative error {error:.2g}, "
                    f"allowed {TOLERANCE:g}); correct its formula"
                )
            errors.append(error)
        if all(len(passed[name]) == DIRECTIONS or 0 in leaf.shape for name, leaf in point.leaves.items()):
            return {name: max(errors, default=0.0) for name, errors in passed.items()}
    name = next(name for name, errors in passed.items() if len(errors) < DIRECTIONS)
    raise GradientCheckError(
        f"{who!r}{where}: no smooth point for {name} in {DRAWS} draws, the last slopes were "
        f"{', '.join(f'{s:.12g}' for s in slopes[name])}; expected a forward pass that is differentiable almost "
        "everywhere and gives the same for the same arguments"
    )


def _slopes(point: Point, name: str, v: Array) -> tuple[list[float], float]:
    """Slopes along v: from the right, from the left, central with h / 2 and with h improved by it; rounding error."""
    xp = namespace(v)
    leaf, h = point.leaves[name], STEP

    def at(t: float) -> Array:
        return point.summands({**point.leaves, name: leaf + t * v})

    here, ahead, behind, near, back = at(0.0), at(h), at(-h), at(h / 2), at(-h / 2)
    slopes = [
        float(xp.sum(4 * (near - here) - (ahead - here))) / h,
        -float(xp.sum(4 * (back - here) - (behind - here))) / h,
        float(xp.sum(ahead - behind)) / (2 * h),
        float(xp.sum(8 * (near - back) - (ahead - behind))) / (6 * h),
    ]
    return slopes, 64 * float(xp.finfo(xp.float64).eps) * float(xp.sum(xp.abs(here))) / h


def _layer_point(layer: Layer, x: Array | None, draws: Stream) -> Point:
    x = _inputs(x, (ROWS, input_width(layer)), draws) if x is None else _inputs(x, x.shape, draws)
    xp = namespace(x)
    layer.widths(x.shape[-1])
    params = layer.init(draws.child("init"), "float64")
    jitter = draws.child("params")
    noise = layer.noise(draws.child("noise"), tuple(x.shape), "float64")
    moved = {
        name: leaf if is_statistic(name) else leaf + 0.1 * jitter.child(name).normal(leaf.shape)
        for name, leaf in named_leaves(params)
    }
    params = tree_map(lambda leaf: _like(x, leaf), _filled(params, moved))
    weights = 0.5 + draws.child("weights").uniform((x.shape[0],))
    training = Training(*tree_map(lambda leaf: _like(x, leaf), (noise, weights)))
    y, cache = layer.forward(params, x, training)
    u = _like(x, draws.child("dy").normal(tuple(y.shape)))
    dx, grads = layer.backward(params, cache, u)
    everything = {f"params.{name}": leaf for name, leaf in named_leaves(params)}

    def summands(leaves: dict[str, Array]) -> Array:
        mine = {name.removeprefix("params."): leaf for name, leaf in {**everything, **leaves}.items() if name != "x"}
        y, _ = layer.forward(_filled(params, mine), leaves["x"], training)
        return xp.reshape(u * y, (-1,))

    trained = {name: leaf for name, leaf in everything.items() if not is_statistic(name)}
    return Point({"x": x, **trained}, summands, {"x": dx, **{f"params.{k}": g for k, g in named_leaves(grads)}})


def _loss_point(loss: Loss, z: Array | None, columns: int, target: Array, draws: Stream) -> Point:
    rows = target.shape[0]
    z = _inputs(z, (rows, columns), draws) if z is None else _inputs(z, z.shape, draws)
    weights = _like(z, 0.5 + draws.child("weights").uniform((rows,)))
    target = _like(z, target)
    _, dz = loss.value_and_grad(z, target, weights)
    return Point({"z": z}, lambda leaves: loss.value_and_grad(leaves["z"], target, weights)[0], {"z": dz})


def _prepared_targets(
    loss: Loss, z: Array | None, target: Array | None, stream: Stream
) -> list[tuple[str, int, Array]]:
    """The kind, the columns of z and the prepared target, for the one that was given or all that are accepted."""
    sample = np.zeros(()) if z is None else z
    dtype = namespace(sample).float64
    rows = ROWS if z is None else z.shape[-2]
    refusal: Exception | None = None
    for columns in _target_columns(z, target):
        raw = draw_targets(stream, rows, columns) if target is None else {"the given values": target}
        accepted = []
        for kind, values in raw.items():
            try:
                outputs = loss.outputs(columns)
                if z is None or z.shape[-1] == outputs:
                    accepted.append((kind, outputs, loss.prepare(_like(sample, values), outputs, dtype)))
            except ValueError as error:
                refusal = error
        if accepted:
            return accepted
    raise DataError(
        f"check_gradients: {loss!r} accepts no target that was tried, the last refusal was: {refusal}; "
        "pass target=, and x= with the scores for it"
    )


def _target_columns(z: Array | None, target: Array | None) -> list[int]:
    """Columns to try: those of the given target (for labels, the classes too), or as many as z may stand for."""
    if target is None:
        return [3, 1] if z is None else list(range(z.shape[-1], 0, -1))
    xp = namespace(target)
    columns = [1 if target.ndim == 1 else target.shape[-1]]
    if columns == [1] and xp.isdtype(target.dtype, "integral"):
        columns = [int(xp.max(target)) + 1 if z is None else z.shape[-1], 1]
    return columns


def _same_names_and_shapes(who: Layer | Loss, point: Point) -> None:
    given = {name: tuple(grad.shape) for name, grad in point.grads.items() if grad is not None}
    wanted = {name: tuple(leaf.shape) for name, leaf in point.leaves.items()}
    if given != wanted:
        raise GradientCheckError(
            f"{who!r}: the gradients have the leaves and shapes {given}, expected those of the inputs: {wanted}"
        )


def _inputs(given: Array | None, shape: tuple[int, ...], draws: Stream) -> Array:
    """Standard normals; or the given array, shifted by a hundredth in all attempts but the first."""
    normal = draws.child("x").normal(tuple(shape))
    if given is None:
        return normal
    xp = namespace(given)
    x = xp.astype(given, xp.float64)
    if x.dtype != xp.float64:
        raise DataError("check_gradients: x cannot be taken at float64; enable 64-bit numbers in its library")
    return x if draws.path.endswith(".0") else x + 0.01 * _like(x, normal)


def _like(sample: Array, values: Any) -> Array:
    """Host values as an array of the library and on the device of ``sample``."""
    if type(values) is type(sample):
        return values
    return namespace(sample).asarray(values, device=device_of(sample))


def _direction(stream: Stream, leaf: Array) -> Array:
    v = stream.normal(tuple(leaf.shape))
    return _like(leaf, v / np.sqrt(np.sum(v * v)))


def _filled(tree: Params, leaves: dict[str, Any]) -> Params:
    """The tree with the leaves of these names."""
    values = iter([leaves[name] for name, _ in named_leaves(tree)])
    return tree_map(lambda _: next(values), tree)
