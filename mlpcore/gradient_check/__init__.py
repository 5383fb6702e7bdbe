"""`check_gradients`: a written-out backward pass against central differences of its own forward pass."""

from mlpcore.gradient_check.check import check_gradients
from mlpcore.gradient_check.targets import draw_targets

__all__ = ["check_gradients", "draw_targets"]
