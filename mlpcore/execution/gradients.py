"""From a network and a loss to one function: the weighted loss of some rows and its gradient."""

from dataclasses import dataclass
from typing import Any

from mlpcore.layers.containers import observe
from mlpcore.namespace import namespace
from mlpcore.typing import Array, Layer, Loss, Noise, Params


@dataclass(frozen=True)
class ValueAndGrad:
    """The function ``(params, x, target, weights, noise) -> (value, weight, grads, observed)``.

    ``value = sum_i w_i loss_i`` (...), ``weight = sum_i w_i`` (), ``grads`` mirrors the parameters. All three are sums
    over rows: those of the parts of a batch add up to those of the whole. ``observed`` holds new running statistics.
    """

    net: Layer
    loss: Loss

    def __call__(self, params: Params, x: Array, target: Array, weights: Array, noise: Noise) -> tuple:
        """One pass forward and one backward."""
        z, cache = self.net.forward(params, x, _weigh_rows(noise, weights))
        value, dz = self.loss.value_and_grad(z, target, weights)
        _, grads = self.net.backward(params, cache, dz, need_dx=False)
        return value, namespace(weights).sum(weights), grads, observe(self.net, params, cache)


def value_and_grad(net: Layer, loss: Loss) -> ValueAndGrad:
    """The loss of a network on some rows and its gradient, as a function of parameters and rows."""
    return ValueAndGrad(net, loss)


def _weigh_rows(noise: Noise, weights: Array) -> Noise:
    """The noise, its leaves named ``row_weights`` (n, 1) multiplied by the weights of the rows."""
    if isinstance(noise, tuple):
        return tuple(_weigh_rows(part, weights) for part in noise)
    if isinstance(noise, dict):
        return {key: part * weights[:, None] if key == "row_weights" else part for key, part in noise.items()}
    return noise


def beside_full_batch(noise: Noise, full: Any) -> Noise:
    """The noise with the leaf ``full_batch`` beside every leaf ``row_weights``, see `mlpcore.layers.BatchNorm`."""
    if isinstance(noise, tuple):
        return tuple(beside_full_batch(part, full) for part in noise)
    return noise | {"full_batch": full} if isinstance(noise, dict) and "row_weights" in noise else noise
