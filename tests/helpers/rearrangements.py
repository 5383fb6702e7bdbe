"""The instructions of a random function that move entries: views, joins, gathers, and arrays made of nothing."""

import random
from typing import Any

from instructions import WHOLES, kind_of, whole

from mlpcore.compiler.graph import empty

VIEWS = ("expand", "squeeze", "flat", "split", "permute", "transpose", "move", "broadcast", "cut", "step", "index")
VIEWS += ("reverse", "insert", "part", "together")


def view(xp: Any, x: Any, y: Any, draws: random.Random) -> Any:
    """The same entries, or some of them, under another shape."""
    name = draws.choice(VIEWS)
    if name == "expand":
        return xp.expand_dims(x, axis=draws.randint(-x.ndim - 1, x.ndim))
    if name == "flat":
        return xp.reshape(x, (-1,))
    if name == "broadcast":
        return xp.broadcast_to(x, (2, *x.shape))
    if name == "together":
        return xp.broadcast_arrays(x, y)[0]
    if x.ndim == 0:
        return x[None, ...]
    last = draws.randrange(x.ndim)  # an axis
    before = (slice(None),) * last
    if name == "squeeze":
        return xp.squeeze(x, axis=last)
    if name == "split":
        shape = (*x.shape[:-1], 2, x.shape[-1] // 2)
        return xp.reshape(x, shape) if x.shape[-1] % 2 == 0 else None
    if name == "permute":
        return xp.permute_dims(x, tuple(draws.sample(range(x.ndim), x.ndim)))
    if name == "transpose":
        return xp.matrix_transpose(x) if x.ndim > 1 else None
    if name == "move":
        return xp.moveaxis(x, last, draws.randrange(-x.ndim, x.ndim))
    if name == "reverse":
        return xp.flip(x, axis=draws.choice((None, last)))
    if name == "insert":
        return x[(*before, None, ...)]
    if name == "index":
        return x[(*before, draws.choice((0, -1)))]
    if name == "part":
        return draws.choice(xp.unstack(x, axis=last))
    if name == "cut":
        return x[(*before, slice(draws.choice((None, 0, 1)), draws.choice((None, -1, 4))))]
    return x[(*before, slice(draws.choice((None, -1, 1)), None, draws.choice((2, -1, -2, 3))))]


def join(xp: Any, x: Any, y: Any, draws: random.Random) -> Any:
    """Arrays one behind the other."""
    y = y if draws.random() < 0.5 and y.dtype == x.dtype else x
    other = x if kind_of(x) == "b" else xp.multiply(x, 2)
    if draws.random() < 0.4:
        return xp.stack([x, other] if draws.random() < 0.5 else [other, y, x], axis=draws.randint(-x.ndim - 1, x.ndim))
    if x.ndim == 0:
        return None
    parts = [[x, other], [other, y], [y, other, x], [other]]
    return xp.concat(draws.choice(parts), axis=draws.choice((None, *range(-x.ndim, x.ndim))))


def take(xp: Any, x: Any, y: Any, draws: random.Random) -> Any:
    """Entries at places that are known, or computed."""
    if x.ndim == 0 or empty(x.shape):
        return None
    axis = draws.randrange(x.ndim)
    if draws.random() < 0.5:
        return xp.take(x, xp.asarray([0, x.shape[axis] - 1, 0]), axis=axis)
    places = xp.remainder(xp.astype(xp.abs(whole(xp, y)), xp.int64), x.shape[axis])
    if y.ndim != 1 or kind_of(y) != "i":
        places = xp.reshape(places, (-1,))
    return x[places] if axis == 0 and draws.random() < 0.5 else xp.take(x, places, axis=axis)


def fill(xp: Any, x: Any, y: Any, draws: random.Random) -> Any:
    """An array of one number, or of numbers in order."""
    name = draws.choice(("zeros_like", "ones_like", "full_like", "zeros", "ones", "full", "arange", "constant", "eye"))
    if name == "full_like":
        return xp.full_like(x, True if kind_of(x) == "b" else 2)
    if name in ("zeros_like", "ones_like"):
        return getattr(xp, name)(x)
    if name == "full":
        return xp.full(x.shape, draws.choice((1.5, 3)))
    if name == "arange":
        made = draws.choice((xp.arange(1, 6), xp.arange(5.0), xp.arange(9, -1, -2, dtype=xp.float32)))
        return made
    if name == "eye":
        return xp.multiply(xp.eye(3, 5, k=1), xp.linspace(0, 2, 5))
    if name == "constant":
        kind = draws.choice((*WHOLES, "float64", "float32"))
        return xp.multiply(xp.asarray([1, 3, 2, 5, 4], dtype=getattr(xp, kind)), 2)
    return getattr(xp, name)(x.shape, dtype=x.dtype)
