"""A backend: an array library, a device, and how training steps run there. `docs/own-backend.md` is the recipe."""

import sys
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from mlpcore.backends.calls import SideBySide, one_after_another
from mlpcore.backends.compilation import CHOICES, Compilation
from mlpcore.backends.run import Run
from mlpcore.memory import OutOfMemory, host_out_of_memory
from mlpcore.trees import Layout
from mlpcore.typing import Array, Step, Tree

# Rough values for a GPU: its arithmetic is 200 times as fast as that of two cores, and it runs 1000 eager steps in
# half a second.
GPU_SPEED, GPU_STEPS = 200.0, 1000


class CompileFunction(Protocol):
    """The type of `Compilers.function`."""

    def __call__(
        self, function: Callable[..., Tree], compilation: Compilation, rows: tuple[int, ...] = (-1,), /
    ) -> Callable[..., Tree]:
        """``function``, compiled. ``rows`` are the numbers of the arguments whose first axis is rows."""


def uncompiled(
    function: Callable[..., Tree], compilation: Compilation, rows: tuple[int, ...] = (-1,), /
) -> Callable[..., Tree]:
    """The function itself, for a library that compiles nothing."""
    return function


@dataclass(frozen=True)
class Compilers:
    """How a backend compiles training steps and functions.

    ``steps(step, layout, compilation)`` returns a `Run`: the training step as a function that does a chunk of steps.
    `mlpcore.backends.run.run_eagerly` makes it a plain loop. ``function(function, compilation, rows)`` compiles a pure
    function of trees of arrays, such as a prediction. Both record in ``compilation`` how the code runs and why, and
    compute products of float32 in ``compilation.precision``, one of ``precisions``. ``choices`` are the values of the
    argument ``compile`` of a model.

    A `Run` may have a method ``calls`` beside: a generator that hands out its calls of compiled code
    (`mlpcore.backends.calls`). ``side_by_side(works)`` does the works of several networks, of which those of all may be
    done together. ``one_thread()`` is a context in which compiled code uses the calling thread only, for callers that
    train several models on ``threads()`` threads of their own; 1 where that saves no time, or where the library's
    switches, which are the process's, do not allow it.
    """

    steps: Callable[[Step, Layout, Compilation], Run]
    function: CompileFunction = uncompiled
    precisions: tuple[str, ...] = ("highest",)
    side_by_side: SideBySide = one_after_another
    one_thread: Callable[[], AbstractContextManager[None]] = nullcontext
    threads: Callable[[], int] = lambda: 1
    choices: tuple[str | bool, ...] = CHOICES


class Sums(Protocol):
    """Adds up a vector over the devices of several processes."""

    def __call__(self, flat: Array, /) -> Array:
        """The sum, in the memory of the vector or elsewhere."""

    def abort(self) -> None:
        """End sums that wait for other devices."""


class Connect(Protocol):
    """What `DeviceExtras.connect` returns."""

    def __call__(self, share: Callable[[Callable[[], Any]], Any], size: int, rank: int, /) -> Sums:
        """The sums over the devices of ``size`` processes.

        ``share(make)`` is what ``make()`` returns in the process of rank 0, in every process.
        """


@dataclass(frozen=True)
class DeviceExtras:
    """What a device adds to a backend; each default is right for a library that computes in host memory.

    ``out_of_memory(error)`` describes the lack of memory that an error of the library reports, None for other errors.
    ``free_memory()`` is the number of free bytes of a device with memory of its own, else None; where it is a number,
    runs must also take data that lie on the host (`mlpcore.backends.streaming.streamed`). ``synchronize()`` waits until
    the device has done all its work.

    ``relative_speed`` is the arithmetic speed relative to two CPU cores. Chunks of steps get longer in proportion to
    it, up to ``max_chunk_steps`` steps.

    ``dlpack_device`` is the device type and number in DLPack's numbering: arrays of other libraries that lie there
    are taken without a copy by ``borrow(x)``. ``read_together(*arrays)`` copies several arrays to the host in one
    transfer.

    ``connect()`` is the function that connects the devices of several processes, which call it together; None where the
    library cannot. It is asked for where there are several, so that no others load what it needs.
    """

    out_of_memory: Callable[[BaseException], OutOfMemory | None] = host_out_of_memory
    free_memory: Callable[[], int | None] = lambda: None
    synchronize: Callable[[], None] = lambda: None
    relative_speed: float = 1.0
    max_chunk_steps: int = sys.maxsize
    dlpack_device: tuple[int, int] | None = None
    borrow: Callable[[Any], Array] | None = None
    read_together: Callable[..., list[NDArray[Any]]] | None = None
    connect: Callable[[], Connect | None] = lambda: None


@dataclass(frozen=True)
class Backend:
    """An array library on one device.

    name: The name in messages and pickles. A pickled model opens the backend of this name again.
    xp: The library's namespace, which follows the Python Array API standard 2024.12.
    device: The device, as the library names it.
    dtypes: The library's dtypes of the names "float32" and "float64".
    asarray: ``asarray(x, dtype=None)`` makes an array on the device from a host array, a Python number or an array of
        this library; a `DataError` for an array of this library on another device. It may share memory with x.
    to_numpy: ``to_numpy(x)`` is the array as a NumPy array, which may share its memory.
    owns: ``owns(x)`` says whether an object is an array of this library, on any device.
    scope: ``scope(dtype)`` is the context in which all work in this dtype is done: switches of the library, and the
        translation of its errors into those of mlpcore.
    compile: How training steps and functions are compiled.
    extras: What the device adds: memory of its own, speed, sharing.
    """

    name: str
    xp: Any = field(repr=False)
    device: Any
    dtypes: Mapping[str, Any] = field(repr=False, hash=False)
    asarray: Callable[..., Array] = field(repr=False)
    to_numpy: Callable[[Array], NDArray[Any]] = field(repr=False)
    owns: Callable[[Any], bool] = field(repr=False)
    scope: Callable[[str], AbstractContextManager[object]] = field(repr=False)
    compile: Compilers = field(repr=False)
    extras: DeviceExtras = field(repr=False, default=DeviceExtras())  # frozen

    def read(self, *arrays: Array) -> list[np.ndarray[Any, Any]]:
        """The arrays on the host."""
        together = self.extras.read_together
        return [self.to_numpy(array) for array in arrays] if together is None else together(*arrays)
