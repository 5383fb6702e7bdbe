"""Every exception and warning a user can meet; each message says who, got, expected, and what to do."""

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
    "MlpcoreWarning",
    "TrainingInterrupted",
    "CompilerWarning",
]


class MlpcoreError(Exception):
    """The base of every error raised on purpose by mlpcore."""


class ConfigurationError(MlpcoreError, ValueError):
    """A layer, loss, optimizer or model was asked for with values that cannot work."""


class DataError(MlpcoreError, ValueError):
    """The rows, targets or weights that were passed cannot be used as they are."""


class BackendUnavailable(MlpcoreError, RuntimeError):
    """The library or the device behind a backend is missing; the message names the cause and the remedy."""


class MissingDependency(MlpcoreError, ImportError):
    """An optional library is not installed; the message names the extra of mlpcore that brings it."""


class ModelFileError(MlpcoreError, ValueError):
    """A file is not a whole, unchanged mlpcore file of a version that this release reads."""


class NonFiniteError(MlpcoreError, ArithmeticError):
    """The loss or its gradient became infinite or NaN; the model stands at its last whole step."""


class OutOfMemoryError(MlpcoreError, MemoryError):
    """A device has no room for what was asked; the message names both, and the model stands at its last whole step."""


class DeviceError(MlpcoreError, RuntimeError):
    """A device that was ready failed at work: a kernel did not compile, or could not be run."""


class GradientCheckError(MlpcoreError, AssertionError):
    """A gradient differs from its central difference; the message names the leaf and both errors."""


class MlpcoreWarning(UserWarning):
    """The base of every warning given by mlpcore."""


class TrainingInterrupted(MlpcoreWarning):
    """Training was interrupted; the model stands at its last whole step and can be used or trained on."""


class CompilerWarning(MlpcoreWarning):
    """There is no C compiler, or it failed; the same is computed without, more slowly."""
