"""Loads a model from its file."""

from dataclasses import replace
from typing import Any

from mlpcore.backends import get_backend
from mlpcore.backends.backend import Backend
from mlpcore.backends.choice import Choice
from mlpcore.errors import ConfigurationError, DataError, ModelFileError
from mlpcore.files import read_model
from mlpcore.files.specification import Specification
from mlpcore.files.writing import Path
from mlpcore.memory import HostMemory
from mlpcore.model import Model
from mlpcore.training.placement import PREDICTION, placed
from mlpcore.typing import Params


@HostMemory()
def load(path: Path, backend: str | Backend = "numpy", device: Any = None) -> Model:
    """The model that `Model.save` wrote to ``path``, on any backend.

    It predicts as before. Further training starts with a new optimizer state and step count, which are not in the file.
    ``backend="auto"`` chooses as `mlpcore.Model` does, but for predictions of 128 rows. The precision is that of the
    saved model if the backend supports it, else "highest". FileNotFoundError if there is no file; ModelFileError if it
    is no model file, truncated, changed, or from a newer release. Files from untrusted sources are safe to read: no
    code in them runs, and sizes are checked before memory is allocated.
    """
    specification, params, compiled = read_model(path)
    opened, choice = open_for(specification, backend, device)
    model = build_model(specification, params, compiled, opened, str(path))
    model.backend_choice = choice
    return model


def open_for(specification: Specification, backend: str | Backend, device: Any = None) -> tuple[Backend, Choice | None]:
    """The backend for a model of a file; with "auto" the choice for predictions of 128 rows, see `placed`."""
    backend, device, choice = placed(backend, device, specification.net, specification.dtype, what=PREDICTION)
    return get_backend(backend, device), choice


def build_model(
    specification: Specification,
    params: Params,
    compiled: str,
    opened: Backend,
    who: str,
    distributed: str | None = "auto",
) -> Model:
    """The model on the backend ``opened``, from the contents of the file ``who``."""
    if specification.precision not in opened.compile.precisions:
        specification = replace(specification, precision="highest")
    try:
        model = Model(**vars(specification), params=params, backend=opened, distributed=distributed)
    except (ConfigurationError, DataError) as error:
        raise ModelFileError(f"{who}: {error}") from None
    model.compiled.keep(compiled, who)
    return model
