"""Activations, losses and optimizers written in JAX, and training with an epoch scanned over its batches."""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, NamedTuple

import jax
import numpy as np
from jax import nn
from jax import numpy as jnp

LEVELS = (0.1, 0.3, 0.7, 0.9)  # of the quantiles: four for each of two targets fill eight columns
SMOOTHING = 0.1

ACTIVATIONS: dict[str, Callable[[Any], Any]] = {
    "Identity": lambda x: x,
    "ReLU": nn.relu,
    "LeakyReLU": nn.leaky_relu,
    "ELU": nn.elu,
    "SELU": nn.selu,
    "GELU": partial(nn.gelu, approximate=False),
    "GELU tanh": nn.gelu,
    "SiLU": nn.silu,
    "Mish": nn.mish,
    "Softplus": nn.softplus,
    "Sigmoid": nn.sigmoid,
    "Tanh": jnp.tanh,
    "Softmax": nn.softmax,
}


def _huber(z: Any, t: Any) -> Any:
    size = jnp.abs(z - t)
    return jnp.sum(jnp.where(size <= 1, 0.5 * size**2, size - 0.5), axis=1)


def _quantile(z: Any, t: Any) -> Any:
    levels = jnp.array(LEVELS)
    error = z.reshape(*t.shape, -1) - t[:, :, None]
    return jnp.sum(jnp.where(error > 0, (1 - levels) * error, -levels * error), axis=(1, 2))


def _gaussian(z: Any, t: Any) -> Any:
    mean, log_variance = jnp.split(z, 2, axis=1)
    return jnp.sum(0.5 * (log_variance + (t - mean) ** 2 * jnp.exp(-log_variance)), axis=1)


def _smoothed(z: Any, t: Any) -> Any:
    target = (1 - SMOOTHING) * nn.one_hot(t, z.shape[1]) + SMOOTHING / z.shape[1]
    return -jnp.sum(target * nn.log_softmax(z), axis=1)


LOSSES: dict[str, Callable[[Any, Any], Any]] = {  # of each row, for scores and targets
    "HalfSquaredError": lambda z, t: jnp.sum(0.5 * (z - t) ** 2, axis=1),
    "SquaredError": lambda z, t: jnp.sum((z - t) ** 2, axis=1),
    "AbsoluteError": lambda z, t: jnp.sum(jnp.abs(z - t), axis=1),
    "Huber": _huber,
    "Quantile": _quantile,
    "PoissonNLL": lambda z, t: jnp.sum(jnp.exp(z) - t * z, axis=1),
    "GaussianNLL": _gaussian,
    "SigmoidCrossEntropy": lambda z, t: jnp.sum(nn.softplus(z) - t * z, axis=1),
    "SoftmaxCrossEntropy": lambda z, t: -jnp.take_along_axis(nn.log_softmax(z), t[:, None], axis=1)[:, 0],
    "SoftmaxCrossEntropy of probabilities": lambda z, t: -jnp.sum(t * nn.log_softmax(z), axis=1),
    "SoftmaxCrossEntropy, smoothed": _smoothed,
}


class Optimizer(NamedTuple):
    """``update(t, rate, g, p, *slots) -> (p, *slots)`` for a leaf at step t; ``slots`` make the first of these."""

    update: Callable[..., tuple]
    rate: float
    slots: Sequence[Callable[[Any], Any]] = ()


def _moments(g: Any, m: Any, v: Any) -> tuple[Any, Any]:
    return 0.9 * m + 0.1 * g, 0.999 * v + 0.001 * g * g


def _momentum(t: Any, rate: float, g: Any, p: Any, v: Any) -> tuple:
    v = 0.9 * v + g
    return p - rate * v, v


def _adam(t: Any, rate: float, g: Any, p: Any, m: Any, v: Any) -> tuple:
    m, v = _moments(g, m, v)
    return p - rate * (m / (1 - 0.9**t)) / (jnp.sqrt(v / (1 - 0.999**t)) + 1e-8), m, v


def _adamw(t: Any, rate: float, g: Any, p: Any, m: Any, v: Any) -> tuple:
    return _adam(t, rate, g, p * (1 - rate * 0.01) if p.ndim > 1 else p, m, v)


def _nadam(t: Any, rate: float, g: Any, p: Any, m: Any, v: Any, product: Any) -> tuple:
    m, v = _moments(g, m, v)
    mu, following = (0.9 * (1 - 0.5 * 0.96 ** (step * 0.004)) for step in (t, t + 1))
    product = product * mu
    ahead = following / (1 - product * following) * m + (1 - mu) / (1 - product) * g
    return p - rate * ahead / (jnp.sqrt(v / (1 - 0.999**t)) + 1e-8), m, v, product


def _radam(t: Any, rate: float, g: Any, p: Any, m: Any, v: Any) -> tuple:
    m, v = _moments(g, m, v)
    limit, power = 2 / (1 - 0.999) - 1, 0.999**t
    rho = limit - 2 * t * power / (1 - power)
    r = jnp.sqrt(jnp.maximum((rho - 4) * (rho - 2) * limit / ((limit - 4) * (limit - 2) * rho), 0))
    corrected = m / (1 - 0.9**t)
    rectified = corrected * r * jnp.sqrt(1 - power) / (jnp.sqrt(v) + 1e-8)
    return p - rate * jnp.where(rho > 5, rectified, corrected), m, v


def _rmsprop(t: Any, rate: float, g: Any, p: Any, v: Any) -> tuple:
    v = 0.99 * v + 0.01 * g * g
    return p - rate * g / (jnp.sqrt(v) + 1e-8), v


def _adagrad(t: Any, rate: float, g: Any, p: Any, s: Any) -> tuple:
    s = s + g * g
    return p - rate * g / (jnp.sqrt(s) + 1e-10), s


def _lion(t: Any, rate: float, g: Any, p: Any, m: Any) -> tuple:
    return p - rate * jnp.sign(0.9 * m + 0.1 * g), 0.99 * m + 0.01 * g


ZERO = jnp.zeros_like
OPTIMIZERS = {
    "SGD": Optimizer(lambda t, rate, g, p: (p - rate * g,), 1e-2),
    "SGD, momentum": Optimizer(_momentum, 1e-2, [ZERO]),
    "Adam": Optimizer(_adam, 1e-3, [ZERO, ZERO]),
    "AdamW": Optimizer(_adamw, 1e-3, [ZERO, ZERO]),
    "NAdam": Optimizer(_nadam, 2e-3, [ZERO, ZERO, lambda p: jnp.ones((), p.dtype)]),
    "RAdam": Optimizer(_radam, 1e-3, [ZERO, ZERO]),
    "RMSprop": Optimizer(_rmsprop, 1e-2, [ZERO]),
    "Adagrad": Optimizer(_adagrad, 1e-2, [ZERO]),
    "Lion": Optimizer(_lion, 1e-4, [ZERO]),
}


def trainer(
    params: Any, x: np.ndarray, y: np.ndarray, batch: int, activation: Callable, loss: Callable, optimizer: Optimizer
) -> Callable[[int], list[tuple]]:
    """A function that trains for whole shuffled epochs and returns the (weight, bias) pairs."""
    leaves, tree = jax.tree.flatten(jax.tree.map(jnp.array, params))
    state = (leaves, [[slot(leaf) for slot in optimizer.slots] for leaf in leaves], jnp.zeros(()))
    rows, targets = jnp.array(x), jnp.array(y)
    rng, steps = np.random.default_rng(0), len(x) // batch

    def mean_loss(leaves: list, x: Any, y: Any) -> Any:
        *hidden, (weight, bias) = jax.tree.unflatten(tree, leaves)
        for kernel, offset in hidden:
            x = activation(x @ kernel + offset)
        return jnp.mean(loss(x @ weight + bias, y))

    def step(state: Any, order: Any) -> tuple:
        leaves, slots, count = state
        value, grads = jax.value_and_grad(mean_loss)(leaves, rows[order], targets[order])
        count = count + 1
        updated = [
            optimizer.update(count, optimizer.rate, g, p, *leaf_slots)
            for g, p, leaf_slots in zip(grads, leaves, slots, strict=True)
        ]
        return ([p for p, *_ in updated], [leaf_slots for _, *leaf_slots in updated], count), value

    @partial(jax.jit, donate_argnums=0)
    def epoch(state: Any, orders: Any) -> tuple:
        state, losses = jax.lax.scan(step, state, orders)
        return state, jnp.sum(losses)

    def train(epochs: int) -> list[tuple]:
        nonlocal state
        for _ in range(epochs):
            order = rng.permutation(len(x)).astype(np.int32)
            state, total = epoch(state, order.reshape(steps, batch))
            float(total)  # the epoch's mean loss
        return jax.tree.unflatten(tree, jax.block_until_ready(state)[0])

    return train
