"""Slopes of a function along a direction, by differences of its values."""

from collections.abc import Callable
from typing import NamedTuple

from mlpcore.namespace import namespace
from mlpcore.typing import Array

TOLERANCE = 1e-6  # relative; the differences themselves are good to about 1e-9
STEP = 1e-4  # along directions of length 1


class Point(NamedTuple):
    """A point at which f is differentiated: arrays by name, the summands of f as a function of them, and gradients."""

    leaves: dict[str, Array]
    summands: Callable[[dict[str, Array]], Array]
    grads: dict[str, Array]


def slopes_along(point: Point, name: str, v: Array) -> tuple[list[float], float]:
    """Four slopes of f along v at the point, and the error that rounding may cause in them.

    With f at 0, h, -h, h/2 and -h/2 they are: from the right and from the left, both of second order; central with h;
    and central with h/2 and h, extrapolated to fourth order.
    """
    xp = namespace(v)
    leaf, h = point.leaves[name], STEP

    def at(t: float) -> Array:
        return point.summands({**point.leaves, name: leaf + t * v})

    f, right, left, half_right, half_left = at(0.0), at(h), at(-h), at(h / 2), at(-h / 2)
    slopes = [
        float(xp.sum(4 * (half_right - f) - (right - f))) / h,
        -float(xp.sum(4 * (half_left - f) - (left - f))) / h,
        float(xp.sum(right - left)) / (2 * h),
        float(xp.sum(8 * (half_right - half_left) - (right - left))) / (6 * h),
    ]
    return slopes, 64 * float(xp.finfo(xp.float64).eps) * float(xp.sum(xp.abs(f))) / h
