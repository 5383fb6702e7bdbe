"""From a network and a loss to one function: the weighted loss of some rows and its gradient."""

from dataclasses import dataclass

from mlpcore.layers.containers import observe
from mlpcore.namespace import namespace
from mlpcore.numerics import weights_of_rows
from mlpcore.typing import Array, Layer, Loss, Noise, Params, Training, Tree

Sums = tuple[Array, Array, Params, Params]  # value, weight, gradients, running statistics


@dataclass(frozen=True)
class ValueAndGrad:
    """The function ``(params, x, target, weights, noise, full_batch) -> (value, weight, grads, observed)``.

    ``value = sum_i w_i loss_i`` (...), ``weight = sum_i w_i`` (), ``grads`` mirrors the parameters. All three are sums
    over rows: those of the parts of a batch add up to those of the whole. ``observed`` holds new running statistics.

    With weights of entries (n, c), ``value = sum_ij w_ij loss_ij``; the layers then see their means over the columns,
    ``w_i = sum_j w_ij / c``, and ``weight`` is the sum of these.
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
    """The loss of a network on some rows and its gradient, as a function of parameters and rows."""
    return ValueAndGrad(net, loss)
