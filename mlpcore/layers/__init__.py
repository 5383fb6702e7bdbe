"""The layers: frozen configurations with a pure forward and, beside it, its backward."""

from mlpcore.layers.activation import Identity
from mlpcore.layers.batchnorm import BatchNorm
from mlpcore.layers.containers import Container, Residual, Sequential, children, observe
from mlpcore.layers.dropout import Dropout
from mlpcore.layers.linear import Linear
from mlpcore.layers.normalization import LayerNorm, RMSNorm
from mlpcore.layers.rectifiers import ELU, SELU, LeakyReLU, ReLU
from mlpcore.layers.saturating import Sigmoid, Softmax, Tanh
from mlpcore.layers.smooth import GELU, Mish, SiLU, Softplus

LAYERS = (
    Linear,
    Identity,
    ReLU,
    LeakyReLU,
    ELU,
    SELU,
    GELU,
    SiLU,
    Mish,
    Softplus,
    Sigmoid,
    Tanh,
    Softmax,
    Dropout,
    LayerNorm,
    RMSNorm,
    BatchNorm,
    Residual,
    Sequential,
)

__all__ = [
    "ELU",
    "GELU",
    "LAYERS",
    "SELU",
    "BatchNorm",
    "Container",
    "Dropout",
    "Identity",
    "LayerNorm",
    "LeakyReLU",
    "Linear",
    "Mish",
    "RMSNorm",
    "ReLU",
    "Residual",
    "Sequential",
    "SiLU",
    "Sigmoid",
    "Softmax",
    "Softplus",
    "Tanh",
    "children",
    "observe",
]
