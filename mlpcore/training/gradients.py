"""Gradients of a network: of the weighted loss by the parameters, and of a score by the inputs."""

from dataclasses import dataclass

from array_api_compat import device as device_of

from mlpcore.layers.containers import observe
from mlpcore.namespace import namespace
from mlpcore.numerics import weights_of_rows
from mlpcore.typing import Array, Layer, Loss, Noise, Params, Training, Tree

Sums = tuple[Array, Array, Params, Params]  # value, weight, gradients, running statistics


@dataclass(frozen=True)
class ValueAndGrad:
    """The function ``(params, x, target, weights, noise, full_batch) -> (value, weight, grads, observed)``.

    ``value = sum_i w_i loss_i`` (...), ``weight = sum_i w_i`` (), and ``grads`` is a tree like the parameters. All
    three are sums over rows: if the layers are row-independent, those of the parts of a batch add up to those of the
    whole. ``observed`` is the tree of new running statistics.

    With weights of entries (n, c), ``value = sum_ij w_ij loss_ij``. The row weights that layers see are then the means
    over the columns, ``w_i = sum_j w_ij / c``, and ``weight`` is the sum of these.
    """

    net: Layer
    loss: Loss

    def __call__(
        self, params: Params, x: Array, target: Array, weights: Array, noise: Noise, full_batch: Tree = ()
    ) -> Sums:
        """One pass forward and one backward."""
        row_weights = weights_of_rows(weights)
        z, cache = self.net.forward(params, x, Training(noise, row_weights, full_batch))
        value, dz = self.loss.value_and_grad(z, target, weights)
        _, grads = self.net.backward(params, cache, dz, need_dx=False)
        return value, namespace(weights).sum(row_weights), grads, observe(self.net, params, cache)


def value_and_grad(net: Layer, loss: Loss) -> ValueAndGrad:
    """The function `ValueAndGrad` of a network and a loss."""
    return ValueAndGrad(net, loss)


@dataclass(frozen=True)
class InputGradient:
    """The function ``(params, rows) -> dx``: the derivatives (n, columns) of one score of each row by its inputs.

    ``rows`` (n, columns + 1) hold x and, in the last column, the number j of the score. The pass is one of inference:
    no noise, and running statistics are constants. No row depends on another then, so that the backward pass of the sum
    over the rows gives the derivatives of every row::

        z, cache = forward(x)        dz_ik = 1 where k = j_i, else 0        dx = backward(cache, dz)
    """

    net: Layer

    def __call__(self, params: Params, rows: Array) -> Array:
        """One pass forward and one backward."""
        z, cache = self.net.forward(params, rows[..., :-1])
        xp = namespace(z)
        numbers = xp.arange(z.shape[-1], dtype=z.dtype, device=device_of(z))
        dz = xp.broadcast_to(xp.astype(rows[..., -1:] == numbers, z.dtype), z.shape)
        dx, _ = self.net.backward(params, cache, dz, need_dx=True)
        return dx
