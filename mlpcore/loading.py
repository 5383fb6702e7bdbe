"""Loads a model from its file."""

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

    It predicts as before. Further training starts with a new optimizer state and step count, which are not in the file.
    The precision is that of the saved model if the backend supports it, else "highest". FileNotFoundError if there is
    no file; ModelFileError if it is no model file, truncated, changed, or from a newer release. Files from untrusted
    sources are safe to read: no code in them runs, and sizes are checked before memory is allocated.
    """
    specification, params, compiled = read_model(path)
    opened = get_backend(backend, device)
    if specification.precision not in opened.compile.precisions:
        specification = replace(specification, precision="highest")
    try:
        model = Model(**vars(specification), params=params, backend=opened)
    except (ConfigurationError, DataError) as error:
        raise ModelFileError(f"{path}: {error}") from None
    model.compiled.keep(compiled, str(path))
    return model
