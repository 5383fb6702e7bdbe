"""The layers: frozen configurations with a pure forward and, beside it, its backward."""

from mlpcore.layers.activation import Identity
from mlpcore.layers.batchnorm import BatchNorm
from mlpcore.layers.containers import Residual, Sequential
from mlpcore.layers.dropout import Dropout
from mlpcore.layers.linear import Linear
from mlpcore.layers.normalization import LayerNorm, RMSNorm
from mlpcore.layers.rectifiers import ELU, SELU, LeakyReLU, ReLU
from mlpcore.layers.saturating import Sigmoid, Tanh
from mlpcore.layers.smooth import GELU, Mish, SiLU, Softplus
from mlpcore.layers.softmax import Softmax

__all__ = [
    "Linear",
    "Identity",
    "ReLU",
    "LeakyReLU",
    "ELU",
    "SELU",
    "GELU",
    "SiLU",
    "Mish",
    "Softplus",
    "Sigmoid",
    "Tanh",
    "Softmax",
    "Dropout",
    "LayerNorm",
    "RMSNorm",
    "BatchNorm",
    "Residual",
    "Sequential",
]
LAYERS = tuple(globals()[name] for name in __all__)
