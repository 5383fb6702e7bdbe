"""Random functions over the Array API: a list of instructions that any namespace follows."""

import random
from typing import Any

from mlpcore.compiler.graph import N

SHAPES = [
    [(N, 5), (N,), (N, 1), (5,), (1, 5), ()],
    [(3, N, 4), (N, 4), (3, 1, 4), (3, 4, 6), (4,), (N, 1)],
    [(N, 20), (20,), (N, 33), (20, 33), (33,)],
    [(7,), (1,), (7, 3), (3, 7)],
    [(N, 2, 6), (N, 12), (6,), (N,), (12, 12)],
]
ONE = ["abs", "negative", "exp", "tanh", "sqrt", "log1p", "square", "sign", "floor", "expm1", "isfinite", "logical_not"]
ONE += ["sin", "round", "ceil", "trunc", "isnan"]
TWO = ["add", "subtract", "multiply", "divide", "maximum", "minimum", "less", "greater", "equal", "logical_and"]
TWO += ["copysign", "atan2", "hypot", "logaddexp", "less_equal"]
MANY = ["sum", "max", "min", "mean", "prod", "any", "all", "argmax", "var", "std"]
VIEWS = ["expand", "transpose", "flat", "cut", "permute", "reverse", "broadcast", "first", "split"]

Instruction = tuple[str, float, float, int]


def instructions(draws: random.Random) -> list[Instruction]:
    """What to do, with which earlier values (as shares of their number), and a seed for the rest."""
    kinds = (
        ["one"] * 6 + ["two"] * 6 + ["many"] * 3 + ["where", "product", "view", "view", "join", "join", "take", "fill"]
    )
    return [
        (draws.choice(kinds), draws.random(), draws.random(), draws.randrange(10**6))
        for _ in range(draws.randint(3, 14))
    ]


def run(xp: Any, given: Any, todo: list[Instruction]) -> list[Any]:
    """The values that the instructions make; one that its operands do not allow is left out."""
    values = list(given)
    for kind, first, second, seed in todo:
        x, y = values[int(first * len(values))], values[int(second * len(values))]
        try:
            made = _DO[kind](xp, x, y, random.Random(seed))
        except (ValueError, IndexError):  # shapes that do not fit, the same for every library
            continue
        if made is not None and made.ndim <= 4:
            values.append(made)
    return values[len(given) :]


def _real(xp: Any, x: Any) -> Any:
    return x if str(x.dtype).startswith("float") else xp.astype(x, xp.float64)


def _one(xp: Any, x: Any, y: Any, draws: random.Random) -> Any:
    name = draws.choice(ONE)
    if name == "logical_not":
        return xp.logical_not(_real(xp, x) > 0.3)
    x = _real(xp, x)
    x = xp.abs(x) if name in ("sqrt", "log1p") else xp.minimum(x, 3.0) if name in ("exp", "expm1") else x
    return getattr(xp, name)(x)


def _two(xp: Any, x: Any, y: Any, draws: random.Random) -> Any:
    name, x, y = draws.choice(TWO), _real(xp, x), _real(xp, y)
    if name == "logical_and":
        return xp.logical_and(x > 0, y > 0)
    if draws.random() < 0.3:
        return getattr(xp, name)(x, 0.7)
    return getattr(xp, name)(x, xp.abs(y) + 1.0 if name == "divide" else y)


def _many(xp: Any, x: Any, y: Any, draws: random.Random) -> Any:
    name, x = draws.choice(MANY), _real(xp, x)
    if x.ndim == 0:
        return None
    axis = draws.choice([None, *range(-x.ndim, x.ndim)])
    if draws.random() < 0.2 and x.ndim > 1 and name != "argmax":
        axis = tuple(draws.sample(range(x.ndim), 2))
    if name == "argmax" and axis is None:
        axis = -1
    x = xp.tanh(x) if name == "prod" else x > 0.2 if name in ("any", "all") else x
    return getattr(xp, name)(x, axis=axis, keepdims=draws.random() < 0.6)


def _where(xp: Any, x: Any, y: Any, draws: random.Random) -> Any:
    other = draws.choice([0.0, 1.5]) if draws.random() < 0.5 else _real(xp, x)
    return xp.where(_real(xp, x) > 0.1, _real(xp, y), other)


def _product(xp: Any, x: Any, y: Any, draws: random.Random) -> Any:
    x, y = _real(xp, x), _real(xp, y)
    if x.ndim < 2 or y.ndim < 2:
        return None
    return draws.choice([lambda: x @ y, lambda: x.mT @ y, lambda: x @ y.mT])() * 0.2


def _view(xp: Any, x: Any, y: Any, draws: random.Random) -> Any:
    name = draws.choice(VIEWS)
    if name == "expand":
        return xp.expand_dims(x, axis=draws.randint(-x.ndim - 1, x.ndim))
    if name == "flat":
        return xp.reshape(x, (-1,))
    if name == "broadcast":
        return xp.broadcast_to(x, (2, *x.shape))
    if x.ndim == 0:
        return None
    if name == "split":
        return xp.reshape(x, (*x.shape[:-1], x.shape[-1] // 2, 2)) if x.shape[-1] % 2 == 0 else None
    if name == "permute":
        order = list(range(x.ndim))
        draws.shuffle(order)
        return xp.permute_dims(x, tuple(order))
    if name == "transpose":
        return x.mT if x.ndim > 1 else None
    if name == "cut":
        return x[..., : max(1, x.shape[-1] // 2)]
    return x[..., ::-1] if name == "reverse" else x[..., 0]


def _join(xp: Any, x: Any, y: Any, draws: random.Random) -> Any:
    x = _real(xp, x)
    if x.ndim == 0:
        return None
    axis = draws.randrange(x.ndim)
    return xp.concat([x, x * 2.0, x], axis=axis) if draws.random() < 0.6 else xp.stack([x, x * 3.0], axis=axis)


def _take(xp: Any, x: Any, y: Any, draws: random.Random) -> Any:
    if x.ndim == 0:
        return None
    axis = draws.randrange(x.ndim)
    return xp.take(x, xp.asarray([0, x.shape[axis] - 1, 0]), axis=axis)


def _fill(xp: Any, x: Any, y: Any, draws: random.Random) -> Any:
    x = _real(xp, x)
    return xp.zeros_like(x) + 1.5 if draws.random() < 0.5 else xp.clip(x, -0.5, 0.8)


_DO = {"one": _one, "two": _two, "many": _many, "where": _where, "product": _product, "view": _view}
_DO |= {"join": _join, "take": _take, "fill": _fill}
