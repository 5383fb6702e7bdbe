"""Random networks and how they are trained, drawn by Hypothesis; with members as users write them."""

from dataclasses import dataclass
from typing import Any, NamedTuple

import members
import numpy as np
from hypothesis import strategies as st

import mlpcore as mc
from mlpcore.namespace import namespace
from mlpcore.training.rules import Rules

OUTPUTS = 3


class Plain:
    """What most layers of users have in common: as many columns as go in, no parameters, no noise."""

    row_independent = True

    def output_width(self, n_in: Any) -> Any:
        return n_in

    def init(self, rng: Any, dtype: str) -> Any:
        return {}

    def noise(self, stream: Any, shape: Any, dtype: str) -> Any:
        return ()


@dataclass(frozen=True)
class Squash(Plain):
    """``x / (1 + |x|)``."""

    def forward(self, params: Any, x: Any, training: Any = None) -> Any:
        below = 1 / (1 + abs(x))
        return x * below, below

    def backward(self, params: Any, cache: Any, dy: Any, *, need_dx: bool = True) -> Any:
        return dy * cache * cache, {}


@dataclass(frozen=True)
class Gate(Plain):
    """``x * tanh(weight)``, a weight for each column."""

    width: int

    def init(self, rng: Any, dtype: str) -> Any:
        return {"weight": (0.5 + rng.uniform((self.width,))).astype(dtype)}

    def forward(self, params: Any, x: Any, training: Any = None) -> Any:
        gate = namespace(x).tanh(params["weight"])[..., None, :]
        return x * gate, (x, gate)

    def backward(self, params: Any, cache: Any, dy: Any, *, need_dx: bool = True) -> Any:
        x, gate = cache
        slope = namespace(dy).sum(dy * x * (1.0 - gate**2), axis=-2)
        return (dy * gate if need_dx else None), {"weight": slope}


@dataclass(frozen=True)
class Centre(Plain):
    """``x - sum(x) / n`` down the columns: it computes with the number of rows."""

    row_independent = False

    def forward(self, params: Any, x: Any, training: Any = None) -> Any:
        return x - namespace(x).sum(x, axis=-2, keepdims=True) / x.shape[-2], ()

    def backward(self, params: Any, cache: Any, dy: Any, *, need_dx: bool = True) -> Any:
        return dy - namespace(dy).sum(dy, axis=-2, keepdims=True) / dy.shape[-2], {}


@dataclass(frozen=True)
class Jitter(Plain):
    """``x * u`` with uniform u, which is drawn in a way of its own."""

    def noise(self, stream: Any, shape: Any, dtype: str) -> Any:
        return stream.child("uniform").uniform(shape).astype(dtype)

    def forward(self, params: Any, x: Any, training: Any = None) -> Any:
        return (x, None) if training is None else (x * training.noise, training.noise)

    def backward(self, params: Any, cache: Any, dy: Any, *, need_dx: bool = True) -> Any:
        return (dy if cache is None else dy * cache), {}


@dataclass(frozen=True)
class Both(mc.Container):
    """The mean of two layers."""

    one: Any
    other: Any

    @property
    def children(self) -> Any:
        return self.one, self.other

    def with_children(self, children: Any) -> Any:
        return Both(*children)

    def output_width(self, n_in: Any) -> Any:
        return self.one.output_width(n_in)

    def noise(self, stream: Any, shape: Any, dtype: str) -> Any:
        return self.one.noise(stream.child(1), shape, dtype), self.other.noise(stream.child(2), shape, dtype)

    def forward(self, params: Any, x: Any, training: Any = None) -> Any:
        (y, first), (z, second) = (
            layer.forward(params[i], x, training and training.child(i)) for i, layer in enumerate(self.children)
        )
        return 0.5 * (y + z), (first, second)

    def backward(self, params: Any, cache: Any, dy: Any, *, need_dx: bool = True) -> Any:
        (dx, first), (dz, second) = (
            layer.backward(part, kept, 0.5 * dy, need_dx=need_dx)
            for layer, part, kept in zip(self.children, params, cache, strict=True)
        )
        return (dx + dz if need_dx else None), (first, second)


class LogCosh:
    """``sum_j log cosh(z_j - t_j)``, written as ``|d| + log1p(exp(-2 |d|)) - log 2``."""

    def outputs(self, target_columns: int) -> int:
        return target_columns

    def prepare(self, target: Any, outputs: int, dtype: Any) -> Any:
        return np.reshape(np.asarray(target, dtype=dtype), (-1, outputs))

    def value_and_grad(self, z: Any, target: Any, weights: Any) -> tuple[Any, Any]:
        xp, d = namespace(z), z - target
        far = xp.abs(d)
        rows = xp.sum(far + xp.log1p(xp.exp(-2 * far)) - 0.6931471805599453, axis=-1)
        return xp.sum(rows * weights, axis=-1), weights[..., None] * xp.tanh(d)

    def predict(self, z: Any) -> Any:
        return z


@dataclass(frozen=True)
class Bouncing:
    """A user's optimizer: it keeps the last gradient, and a scale that wanders from every entry to the opposite one."""

    learning_rate: float = 0.02
    weight_decay: float = 0.0

    def init(self, params: Any) -> Any:
        return params * 0, params * 0 + 1

    def update(self, grads: Any, state: Any, params: Any, rate: Any) -> Any:
        xp = namespace(params)
        before, scale = state
        new = xp.maximum(0.9 * xp.flip(scale, axis=-1), xp.abs(grads))
        return params - rate[..., None] * (grads + 0.5 * before) / (0.1 + new + 0.1 * scale), (grads, new)


LOSSES = members.LOSSES | {"a user's": (LogCosh(), "reals")}
OPTIMIZERS = members.OPTIMIZERS | {"a user's": Bouncing()}


class Training(NamedTuple):
    """A network and how it is trained."""

    net: Any
    loss: str
    optimizer: str
    rules: Rules
    dtype: str


@st.composite
def layer(draw: Any, width: int, depth: int) -> Any:
    """A layer of any kind, for so many columns."""
    kinds = ["member", "member", "user's", "Linear"] + ["Residual", "Sequential", "Both"] * (depth > 0)
    kind = draw(st.sampled_from(kinds))
    if kind == "member":
        return members.LAYERS[draw(st.sampled_from(sorted(members.LAYERS)))](width)
    if kind == "user's":
        return draw(st.sampled_from((Squash(), Gate(width), Centre(), Jitter())))
    if kind == "Linear":
        return mc.Linear(width, draw(st.integers(1, 20)), bias=draw(st.booleans()))
    inner = draw(layers(width, depth - 1, 3))
    if kind == "Sequential":
        return mc.Sequential(*inner)
    back = mc.Sequential(*inner, mc.Linear(mc.Sequential(*inner).output_width(width), width))
    return (
        mc.Residual(back)
        if kind == "Residual"
        else Both(back, draw(layer(width, 0).filter(lambda one: one.output_width(width) == width)))
    )


@st.composite
def layers(draw: Any, width: int, depth: int, most: int) -> list[Any]:
    """Layers that follow each other."""
    made: list[Any] = []
    for _ in range(draw(st.integers(1, most))):
        made.append(draw(layer(width, depth)))
        width = made[-1].output_width(width)
    return made


def _case(table: dict[str, Any]) -> Any:
    """A name of the table, the user's every third time."""
    return st.sampled_from([*sorted(table), *["a user's"] * (len(table) // 2)])


@st.composite
def trainings(draw: Any, width: int) -> Training:
    """A network for so many columns, with its loss, optimizer and rules."""
    case = draw(_case(LOSSES))
    inner = draw(layers(width, 2, 4))
    net = mc.Sequential(*inner, mc.Linear(mc.Sequential(*inner).output_width(width), LOSSES[case][0].outputs(OUTPUTS)))
    rules = Rules(
        draw(st.sampled_from((0.0, 1e-2))),
        draw(st.sampled_from((None, 0.5))),
        draw(st.sampled_from((None, 0.1))),
        draw(st.sampled_from((None, 0.9))),
    )
    optimizer = draw(_case(OPTIMIZERS))
    return Training(net, case, optimizer, rules, draw(st.sampled_from(("float32", "float64"))))
