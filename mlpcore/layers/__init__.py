"""The layers: frozen configurations with a pure forward and, beside it, its backward."""

from mlpcore.layers.activation import Identity
from mlpcore.layers.batchnorm import BatchNorm
from mlpcore.layers.categories import Embedding, OneHot
from mlpcore.layers.columns import Columns, Concat
from mlpcore.layers.containers import Residual, Sequential
from mlpcore.layers.dropout import Dropout
from mlpcore.layers.linear import Linear, NTKLinear
from mlpcore.layers.members import Members
from mlpcore.layers.normalization import LayerNorm, RMSNorm
from mlpcore.layers.parametric import Parametric
from mlpcore.layers.periodic import PeriodicEmbedding
from mlpcore.layers.piecewise import PiecewiseLinearEmbedding
from mlpcore.layers.rectifiers import ELU, SELU, LeakyReLU, ReLU
from mlpcore.layers.robust import RobustClip
from mlpcore.layers.saturating import Sigmoid, Tanh
from mlpcore.layers.scale import Scale
from mlpcore.layers.smooth import GELU, Mish, SiLU, Softplus
from mlpcore.layers.softmax import Softmax
from mlpcore.layers.wrappers import Rates

__all__ = [
    "Linear",
    "NTKLinear",
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
    "Parametric",
    "Dropout",
    "LayerNorm",
    "RMSNorm",
    "BatchNorm",
    "Scale",
    "RobustClip",
    "PeriodicEmbedding",
    "PiecewiseLinearEmbedding",
    "Embedding",
    "OneHot",
    "Columns",
    "Concat",
    "Residual",
    "Sequential",
    "Rates",
    "Members",
]
LAYERS = tuple(globals()[name] for name in __all__)
