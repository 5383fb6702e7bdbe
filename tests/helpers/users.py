"""What users write for a compiled step: small networks, batches of any sizes, optimizers of their own."""

from typing import Any, NamedTuple

import members
import numpy as np

import mlpcore as mc
from mlpcore.namespace import namespace
from mlpcore.random import Stream
from mlpcore.typing import Batch


def network(*inner: Any, outputs: int = 3) -> mc.Sequential:
    layers = (mc.Linear(5, 4), *inner)
    return mc.Sequential(*layers, mc.Linear(mc.Sequential(*layers).output_width(5), outputs))


def batches(net: Any, case: str, dtype: str, sizes: tuple[int, ...], width: int) -> list[Batch]:
    made = []
    for i, rows in enumerate(sizes):
        _, target, weights = members.loss_arrays(case, rows, dtype, seed=i)
        x = Stream(i, "x").normal((rows, width)).astype(dtype)
        made.append(Batch(x, target, weights, net.noise(Stream(3, "noise", step=i), x.shape, dtype)))
    return made


class Kept(NamedTuple):
    """A vector that an optimizer keeps."""

    vector: Any


class Vanilla:
    """What users write: an optimizer without anything but the contract."""

    learning_rate, weight_decay = 0.1, 0.0

    def init(self, params: Any) -> Kept:
        return Kept(np.zeros_like(params))


class KeepsTheOld(Vanilla):
    """Its state is the parameters before the step."""

    def update(self, grads: Any, state: Kept, params: Any, rate: Any) -> tuple[Any, Kept]:
        return params - rate[..., None] * grads, Kept(params)


class Swaps(Vanilla):
    """Parameters and state change places."""

    def update(self, grads: Any, state: Kept, params: Any, rate: Any) -> tuple[Any, Kept]:
        return state.vector, Kept(params)


class Looks(Vanilla):
    """Every entry takes the old value of its neighbour."""

    def update(self, grads: Any, state: Kept, params: Any, rate: Any) -> tuple[Any, Kept]:
        xp = namespace(params)
        return xp.concat([params[..., 1:], params[..., :1]], axis=-1) - rate[..., None] * grads, Kept(params * 2)


class Turns(Vanilla):
    """Every entry takes the old value of the one that is as far from the other end, read in the loop that writes."""

    def update(self, grads: Any, state: Kept, params: Any, rate: Any) -> tuple[Any, Kept]:
        xp = namespace(params)
        return xp.flip(params, axis=-1) - rate[..., None] * grads, Kept(params + grads)


class Mirrors(Vanilla):
    """The same, and nobody else reads the old values."""

    def update(self, grads: Any, state: Kept, params: Any, rate: Any) -> tuple[Any, Kept]:
        return namespace(params).flip(params, axis=-1) - rate[..., None] * grads, Kept(grads)
