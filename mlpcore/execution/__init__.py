"""Function transformations of ``value_and_grad(net, loss)``; each keeps its signature, so that they nest."""

from mlpcore.execution.gradients import value_and_grad
from mlpcore.execution.tiled import tiled

__all__ = ["tiled", "value_and_grad"]
