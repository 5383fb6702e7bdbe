"""From a model file to a model."""

from dataclasses import replace
from typing import Any

from mlpcore.backends import get_backend
from mlpcore.backends.backend import Backend
from mlpcore.errors import ConfigurationError, DataError, ModelFileError
from mlpcore.files import read_model
from mlpcore.files.specification import Specification
from mlpcore.files.writing import Path
from mlpcore.model import Model
from mlpcore.typing import Params


def load(path: Path, backend: str | Backend = "numpy", device: Any = None) -> Model:
    """The model that `Model.save` wrote to ``path``, on any backend.

    It predicts as before and can be trained on: from the first step, as the optimizer's state is not in the file. The
    precision is that of the saved model where the backend offers it, else "highest". FileNotFoundError where there is
    no file; ModelFileError where it is no model file, truncated, changed, or from a newer release. Files of others are
    safe to read: nothing in them is run, and what they ask for is checked before it is allocated.
    """
    return build_model(*read_model(path), get_backend(backend, device), str(path))


def build_model(specification: Specification, params: Params, compiled: str, place: Backend, who: str) -> Model:
    """The model on the backend ``place``, from what the file ``who`` holds."""
    if specification.precision not in place.compile.precisions:
        specification = replace(specification, precision="highest")
    try:
        model = Model(**vars(specification), params=params, backend=place)
    except (ConfigurationError, DataError) as error:
        raise ModelFileError(f"{who}: {error}") from None
    model.compiled.keep(compiled, who)
    return model
