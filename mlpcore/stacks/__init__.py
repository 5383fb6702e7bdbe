"""Many networks as one: a stack that trains them side by side, and an ensemble that predicts with all of them."""

from mlpcore.stacks.ensemble import Ensemble
from mlpcore.stacks.stack import Stack

__all__ = ["Ensemble", "Stack"]
