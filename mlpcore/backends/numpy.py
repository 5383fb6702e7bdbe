"""NumPy on the host: the only backend that needs no further library."""

from contextlib import suppress
from types import TracebackType
from typing import Any

import array_api_compat.numpy as xp
import numpy as np

from mlpcore.backends.backend import Backend, Compilers
from mlpcore.backends.compiled.chunk_calls import one_thread, train_together
from mlpcore.backends.compiled.functions import jit
from mlpcore.backends.compiled.steps import compiled_steps
from mlpcore.compiler import pool
from mlpcore.errors import BackendUnavailable
from mlpcore.memory import translate
from mlpcore.signals import ended, ends_with

# The step itself detects losses that are not finite, with a better message than NumPy's warnings.
IGNORE: Any = dict.fromkeys(("divide", "over", "under", "invalid"), "ignore")


class HostScope:
    """A context with other floating-point settings, in which a MemoryError becomes an OutOfMemoryError."""

    __slots__ = ("__weakref__", "settings")

    def __init__(self) -> None:
        self.settings = np.errstate(**IGNORE)

    def __enter__(self) -> None:
        ends_with(self, _leave, self.settings)
        self.settings.__enter__()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.settings.__exit__(kind, error, traceback)
        ended(self)
        translate(error)


def _leave(settings: np.errstate) -> None:
    if np.geterr() == IGNORE:  # else a context around this one has ended first
        with suppress(TypeError, RuntimeError, ValueError):  # not entered, left already, or by another thread
            settings.__exit__(None, None, None)


def status() -> str:
    """``ready`` with the version; NumPy is always installed."""
    return f"ready (NumPy {np.__version__})"


def create(device: Any = None) -> Backend:
    """The backend on the CPU."""
    if device not in (None, "cpu"):
        raise BackendUnavailable(f"backend 'numpy': there is no device {device!r}, expected 'cpu' or None")
    return Backend(
        name="numpy",
        xp=xp,
        device="cpu",
        dtypes={"float32": np.dtype("float32"), "float64": np.dtype("float64")},
        asarray=np.asarray,
        to_numpy=np.asarray,
        owns=lambda x: isinstance(x, np.ndarray),
        scope=lambda dtype: HostScope(),
        compile=Compilers(
            compiled_steps(xp), jit, side_by_side=train_together, one_thread=one_thread, threads=pool.threads
        ),
    )
