"""Multilayer perceptrons written once against the Python Array API.

>>> import mlpcore as mc
>>> net = mc.Sequential(mc.Linear(64, 128), mc.ReLU(), mc.Linear(128, 10))
>>> model = mc.Model(net, loss=mc.SoftmaxCrossEntropy(), optimizer=mc.Adam(1e-3), backend="numpy")
"""

from mlpcore.backends import available_backends, get_backend
from mlpcore.errors import (
    BackendUnavailable,
    ConfigurationError,
    DataError,
    DeviceError,
    GradientCheckError,
    MissingDependency,
    MlpcoreError,
    MlpcoreWarning,
    ModelFileError,
    NonFiniteError,
    OutOfMemoryError,
    TrainingInterrupted,
)
from mlpcore.gradient_check import check_gradients
from mlpcore.initializers import (
    Constant,
    GlorotNormal,
    GlorotUniform,
    HeNormal,
    HeUniform,
    LeCunNormal,
    LeCunUniform,
    Orthogonal,
    Zeros,
)
from mlpcore.layers import (
    ELU,
    GELU,
    SELU,
    BatchNorm,
    Dropout,
    Identity,
    LayerNorm,
    LeakyReLU,
    Linear,
    Mish,
    ReLU,
    Residual,
    RMSNorm,
    Sequential,
    Sigmoid,
    SiLU,
    Softmax,
    Softplus,
    Tanh,
)
from mlpcore.loading import load
from mlpcore.losses import (
    AbsoluteError,
    GaussianNLL,
    HalfSquaredError,
    Huber,
    Poisson,
    Quantile,
    SigmoidCrossEntropy,
    SoftmaxCrossEntropy,
    SquaredError,
)
from mlpcore.model import Model
from mlpcore.optimizers import SGD, Adagrad, Adam, AdamW, Lion, NAdam, RAdam, RMSprop
from mlpcore.preprocessing import Standardize
from mlpcore.schedules import (
    CosineDecay,
    ExponentialDecay,
    InverseScaling,
    OneCycle,
    PolynomialDecay,
    StepDecay,
    WarmUp,
)
from mlpcore.training.callbacks import EarlyStopping, ReduceOnPlateau
from mlpcore.training.events import Report, Stop
from mlpcore.training.history import History
from mlpcore.training.progress import Progress

__version__ = "0.1.0"

__all__ = [
    "ELU",
    "GELU",
    "SELU",
    "SGD",
    "AbsoluteError",
    "Adagrad",
    "Adam",
    "AdamW",
    "BackendUnavailable",
    "BatchNorm",
    "ConfigurationError",
    "Constant",
    "CosineDecay",
    "DataError",
    "DeviceError",
    "Dropout",
    "EarlyStopping",
    "ExponentialDecay",
    "GaussianNLL",
    "GlorotNormal",
    "GlorotUniform",
    "GradientCheckError",
    "HalfSquaredError",
    "HeNormal",
    "HeUniform",
    "History",
    "Huber",
    "Identity",
    "InverseScaling",
    "LayerNorm",
    "LeCunNormal",
    "LeCunUniform",
    "LeakyReLU",
    "Linear",
    "Lion",
    "Mish",
    "MissingDependency",
    "MlpcoreError",
    "MlpcoreWarning",
    "Model",
    "ModelFileError",
    "NAdam",
    "NonFiniteError",
    "OneCycle",
    "Orthogonal",
    "OutOfMemoryError",
    "Poisson",
    "PolynomialDecay",
    "Progress",
    "Quantile",
    "RAdam",
    "RMSNorm",
    "RMSprop",
    "ReLU",
    "ReduceOnPlateau",
    "Report",
    "Residual",
    "Sequential",
    "SiLU",
    "Sigmoid",
    "SigmoidCrossEntropy",
    "Softmax",
    "SoftmaxCrossEntropy",
    "Softplus",
    "SquaredError",
    "Standardize",
    "StepDecay",
    "Stop",
    "Tanh",
    "TrainingInterrupted",
    "WarmUp",
    "Zeros",
    "available_backends",
    "check_gradients",
    "get_backend",
    "load",
]
