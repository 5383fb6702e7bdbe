"""Multilayer perceptrons written once against the Python Array API.

>>> import mlpcore as mc
>>> net = mc.Sequential(mc.Linear(64, 128), mc.ReLU(), mc.Linear(128, 10))
>>> model = mc.Model(net, loss=mc.SoftmaxCrossEntropy(), optimizer=mc.Adam(1e-3), backend="numpy")
"""

from mlpcore import errors, initializers, layers, losses, optimizers, schedules
from mlpcore.backends import available_backends, get_backend
from mlpcore.errors import *
from mlpcore.gradient_check import check_gradients
from mlpcore.initializers import *
from mlpcore.layers import *
from mlpcore.layers.activation import Activation
from mlpcore.layers.containers import Container
from mlpcore.loading import load
from mlpcore.losses import *
from mlpcore.model import Model
from mlpcore.optimizers import *
from mlpcore.preprocessing import Standardize
from mlpcore.schedules import *
from mlpcore.stacks import Ensemble, Stack
from mlpcore.trackers import CSVLog, MLflow, TensorBoard
from mlpcore.training.callbacks import EarlyStopping, ReduceOnPlateau
from mlpcore.training.checkpoint_folder import CheckpointFolder
from mlpcore.training.events import Report, Stop
from mlpcore.training.history import History
from mlpcore.training.initial import data_driven_init
from mlpcore.training.loop import Trainer
from mlpcore.training.progress import Progress
from mlpcore.training.pruning import OptunaPruning

__version__ = "0.1.0"

# The public names: these, and those that each part lists for itself.
__all__ = [
    "Model",
    "Trainer",
    "Stack",
    "Ensemble",
    "EarlyStopping",
    "ReduceOnPlateau",
    "OptunaPruning",
    "Progress",
    "CheckpointFolder",
    "CSVLog",
    "TensorBoard",
    "MLflow",
    "Report",
    "Stop",
    "History",
]
__all__ += ["Activation", "Container"]  # to make own layers of
__all__ += [
    "load",
    "Standardize",
    "data_driven_init",
    "check_gradients",
    "get_backend",
    "available_backends",
]
__all__ += layers.__all__
__all__ += losses.__all__
__all__ += optimizers.__all__
__all__ += schedules.__all__
__all__ += initializers.__all__
__all__ += errors.__all__
