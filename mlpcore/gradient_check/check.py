"""The check: draws random points and directions until every leaf has passed or one has failed."""

from collections.abc import Callable
from functools import partial
from typing import cast

import numpy as np

from mlpcore.errors import ConfigurationError, GradientCheckError
from mlpcore.gradient_check.differences import TOLERANCE, Point, slopes_along
from mlpcore.gradient_check.points import layer_point, like, loss_point
from mlpcore.gradient_check.targets import prepared_targets
from mlpcore.namespace import namespace
from mlpcore.random import Stream
from mlpcore.typing import Array, Layer, Loss, follows

DIRECTIONS = 3  # that every leaf must pass
DRAWS = 60  # of points at most, as those at a kink do not count


def check_gradients(
    layer_or_loss: Layer | Loss, *, x: Array | None = None, target: Array | None = None, seed: int = 0
) -> dict[str, float]:
    """Compare ``backward`` (or ``value_and_grad``) with central differences in float64, or raise GradientCheckError.

    For a layer, ``f = sum(u * forward(params, x, training))`` with random u, and the leaves are ``x`` and every
    parameter; for a loss, f is the weighted sum and the leaf is ``z``. For each leaf and three random directions v of
    length 1, ``sum(grad * v)`` must be ``(f(+h v) - f(-h v)) / 2h`` to a relative error of 1e-6; a difference
    of the size of the rounding error of f is accepted too. Shapes, parameters, noise, row weights and targets
    are drawn from ``seed``: parameters near the initial ones, and for a loss every kind of target that its ``prepare``
    accepts, and weights of entries if it takes them. ``x`` (n, in) is the input, or z for a loss: its library and
    device are then used, and it is converted to float64.

    Kinks: a point counts only where four estimates of the slope (from the left, from the right, central with h and
    with h / 2) agree to the same 1e-6; where they do not, all is drawn anew, and a given ``x`` is shifted by
    about 0.01. So derivatives exactly at a kink are not checked.

    Returns the largest relative error of each leaf. GradientCheckError names the leaf and both numbers; it is also
    raised if gradients do not have the names and shapes of the parameters, or if no smooth point is found.
    """
    if not (follows(layer_or_loss, Layer) or follows(layer_or_loss, Loss)):
        raise ConfigurationError(
            f"check_gradients: {layer_or_loss!r} is neither a layer nor a loss; pass an object such as ReLU()"
        )
    if x is not None and x.ndim != 2:
        raise ConfigurationError(
            f"check_gradients: x has the shape {tuple(x.shape)}, expected two axes, (rows, columns)"
        )
    stream = Stream(seed, "gradient_check")
    if follows(layer_or_loss, Layer):
        if target is not None:
            raise ConfigurationError(
                f"check_gradients: {layer_or_loss!r} is a layer, which takes no target; leave it out"
            )
        return _check(layer_or_loss, "", stream, partial(layer_point, cast(Layer, layer_or_loss), x))
    loss, report = cast(Loss, layer_or_loss), dict[str, float]()
    for kind, columns, prepared in prepared_targets(loss, x, target, stream.child("target")):
        weighted = {"": (prepared.shape[0],)}
        if getattr(loss, "entry_weights", False):
            weighted[" and weights of its entries"] = tuple(prepared.shape)
        for words, shape in weighted.items():
            point_at = partial(loss_point, loss, x, columns, prepared, shape)
            errors = _check(loss, f", target of {kind}{words}", stream.child(kind), point_at)
            report = {name: max(error, report.get(name, 0.0)) for name, error in errors.items()}
    return report


def _check(checked: Layer | Loss, case: str, stream: Stream, point_at: Callable[[Stream], Point]) -> dict[str, float]:
    """Draw points until every leaf has passed along enough directions; the largest error of each."""
    passed: dict[str, list[float]] = {}
    slopes: dict[str, list[float]] = {}
    for attempt in range(DRAWS):
        draws = stream.child(attempt)
        point = point_at(draws)
        _check_names_and_shapes(checked, point)
        for name, leaf in point.leaves.items():
            errors = passed.setdefault(name, [])
            if len(errors) == DIRECTIONS or 0 in leaf.shape:
                continue
            v = _direction(draws.child("direction").child(name), leaf)
            slopes[name], rounding = slopes_along(point, name, v)
            claimed, measured = float(namespace(leaf).sum(point.grads[name] * v)), slopes[name][-1]
            smooth = max(slopes[name]) - min(slopes[name]) <= TOLERANCE * abs(measured) + rounding
            if smooth:
                errors.append(_relative_error(claimed, measured, rounding))
            if smooth and not errors[-1] <= TOLERANCE:
                raise GradientCheckError(
                    f"{checked!r}{case}: the gradient of {name} {tuple(leaf.shape)} along a random direction is "
                    f"{claimed:.12g}, expected {measured:.12g} by central differences (relative error "
                    f"{errors[-1]:.2g}, allowed {TOLERANCE:g}); correct its formula"
                )
        if all(len(passed[name]) == DIRECTIONS or 0 in leaf.shape for name, leaf in point.leaves.items()):
            return {name: max(errors, default=0.0) for name, errors in passed.items()}
    name = next(name for name, errors in passed.items() if len(errors) < DIRECTIONS)
    raise GradientCheckError(
        f"{checked!r}{case}: no smooth point for {name} in {DRAWS} draws, the last slopes were "
        f"{', '.join(f'{slope:.12g}' for slope in slopes[name])}; expected a forward pass that is differentiable "
        "almost everywhere and gives the same for the same arguments"
    )


def _relative_error(claimed: float, measured: float, rounding: float) -> float:
    """The difference over the larger of the two; a difference of ``rounding`` gives at most ``TOLERANCE``."""
    size = max(abs(claimed), abs(measured)) + rounding / TOLERANCE
    return abs(claimed - measured) / (size or 1.0)


def _check_names_and_shapes(checked: Layer | Loss, point: Point) -> None:
    """A GradientCheckError unless every leaf has one gradient, of its shape."""
    shapes = {name: tuple(gradient.shape) for name, gradient in point.grads.items() if gradient is not None}
    expected = {name: tuple(leaf.shape) for name, leaf in point.leaves.items()}
    if shapes != expected:
        raise GradientCheckError(
            f"{checked!r}: the gradients have the leaves and shapes {shapes}, expected those of the inputs: {expected}"
        )


def _direction(stream: Stream, leaf: Array) -> Array:
    """A random direction of length 1, of the leaf's shape."""
    v = stream.normal(tuple(leaf.shape))
    return like(leaf, v / np.sqrt(np.sum(v * v)))
