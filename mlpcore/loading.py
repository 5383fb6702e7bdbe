"""From a model file to a model."""

from dataclasses import replace
from typing import Any

from mlpcore.backends import get_backend
from mlpcore.backends.backend import Backend
from mlpcore.errors import ConfigurationError, DataError, ModelFileError
from mlpcore.files import read_model
from mlpcore.files.writing import Path
from mlpcore.model import Model


def load(path: Path, backend: str | Backend = "numpy", device: Any = None) -> Model:
    """The model that `Model.save` wrote to ``path``, on any backend.

    It predicts as before and can be trained on: from the first step, as the optimizer's state is not in the file. The
    precision is that of the saved model where the backend offers it, else "highest". FileNotFoundError where there is
    no file; ModelFileError where it is no model file, truncated, changed, or from a newer release. Files of others are
    safe to read: nothing in them is run, and what they ask for is checked before it is allocated.
    """
    specification, params, compiled = read_model(path)
    place = get_backend(backend, device)
    if specification.precision not in place.compile.precisions:
        specification = replace(specification, precision="highest")
    try:
        model = Model(**vars(specification), params=params, backend=place)
    except (ConfigurationError, DataError) as error:
        raise ModelFileError(f"{path}: {error}") from None
    model.compiled.keep(compiled, str(path))
    return model
