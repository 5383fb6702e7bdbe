"""The exceptions and warnings of mlpcore. A message names the object, what it got, what it expected and what to do."""

from importlib import import_module
from typing import Any

__all__ = [
    "MlpcoreError",
    "ConfigurationError",
    "DataError",
    "BackendUnavailable",
    "MissingDependency",
    "ModelFileError",
    "NonFiniteError",
    "OutOfMemoryError",
    "DeviceError",
    "GradientCheckError",
    "RankError",
    "MlpcoreWarning",
    "TrainingInterrupted",
    "CompilerWarning",
]


class MlpcoreError(Exception):
    """The base of every error raised on purpose by mlpcore."""


class ConfigurationError(MlpcoreError, ValueError):
    """A layer, loss, optimizer or model was given invalid arguments."""


class DataError(MlpcoreError, ValueError):
    """The rows, targets or weights that were passed cannot be used as they are."""


class BackendUnavailable(MlpcoreError, RuntimeError):
    """The library or the device behind a backend is missing; the message names the cause and the remedy."""


class MissingDependency(MlpcoreError, ImportError):
    """An optional library is not installed; the message names the extra of mlpcore that installs it."""


class ModelFileError(MlpcoreError, ValueError):
    """A file is not an mlpcore file, is truncated or changed, or has a version that this release does not read."""


class NonFiniteError(MlpcoreError, ArithmeticError):
    """The loss or its gradient became infinite or NaN; the model stands at its last whole step."""


class OutOfMemoryError(MlpcoreError, MemoryError):
    """Device or host have too little memory; the message says for what, and the model stands at its last whole step."""


class DeviceError(MlpcoreError, RuntimeError):
    """A device failed after it was opened: a kernel did not compile or could not be run."""


class GradientCheckError(MlpcoreError, AssertionError):
    """A gradient differs from its central difference; the message names the leaf and both errors."""


class RankError(MlpcoreError, RuntimeError):
    """Of several processes that train together another one failed, or they do not make the same call."""


class MlpcoreWarning(UserWarning):
    """The base of every warning given by mlpcore."""


class TrainingInterrupted(MlpcoreWarning):
    """Training was interrupted; the model stands at its last whole step and can be used or trained on."""


class CompilerWarning(MlpcoreWarning):
    """There is no C compiler, or it failed; the computation runs without compiled code, more slowly."""


def import_extra(module: str, extra: str, why: str) -> Any:
    """A module that an extra of mlpcore installs; MissingDependency, which begins with ``why``, where it is missing."""
    try:
        return import_module(module)
    except ImportError as error:
        raise MissingDependency(f"{why} cannot be imported ({error}); pip install 'mlpcore[{extra}]'") from None
