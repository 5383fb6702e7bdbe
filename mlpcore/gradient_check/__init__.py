"""`check_gradients`: compares a backward pass with central differences of its forward pass."""

from mlpcore.gradient_check.check import check_gradients
from mlpcore.gradient_check.targets import draw_targets

__all__ = ["check_gradients", "draw_targets"]
