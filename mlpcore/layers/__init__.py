"""The layers: frozen configurations with a pure forward and, beside it, its backward."""

from mlpcore.layers.containers import Residual, Sequential, observe
from mlpcore.layers.linear import Linear
from mlpcore.layers.rectifiers import ReLU

LAYERS = (Linear, ReLU, Residual, Sequential)
