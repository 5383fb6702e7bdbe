"""What a backend is: a library, a device, and the way a run of steps goes there. The rest of the code holds no name."""

from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager
from dataclasses import dataclass, field, replace
from importlib import import_module
from typing import Any

import numpy as np

from mlpcore.backends.compilation import Compilation
from mlpcore.backends.device_errors import OutOfMemory
from mlpcore.backends.precision import Precision
from mlpcore.errors import BackendUnavailable, DataError
from mlpcore.random import Stream
from mlpcore.trees import Layout, tree_map
from mlpcore.typing import Array, Batch, Noise, State, Step

# A GPU does some 200 times the work of two cores in the same time, and about 1000 launched steps in half a second.
GPU_SPEED, GPU_STEPS, MANY = 200.0, 1000, 1 << 62

Run = Callable[..., tuple[State, Array]]


@dataclass(frozen=True)
class StepNoise:
    """What the batches of a chunk hold beside their rows: ``draw(i)`` is the noise of step i, and ``full_batch``.

    ``make(stream, rows)`` makes the noise from a ``stream`` that stands at a step; a compiler may call it with a stream
    of its own.
    """

    make: Callable[[Any, Any], Noise]
    stream: Stream  # at the first step
    rows: int
    full_batch: Any  # of `mlpcore.typing.Batch`

    def __call__(self, i: int) -> tuple[Noise, Any]:
        """The noise of step i, and ``full_batch``."""
        return self.make(replace(self.stream, step=self.stream.step + i), self.rows), self.full_batch


def shifted(draw: Callable[[int], Any], start: int) -> Callable[[int], Any]:
    """The draws of the steps from number ``start`` on."""
    if isinstance(draw, StepNoise):
        return replace(draw, stream=replace(draw.stream, step=draw.stream.step + start))
    return lambda i: draw(start + i)


class ChunkError(Exception):
    """A step of a chunk raised ``__cause__``; holds the state after the ``steps`` whole ones before it."""

    def __init__(self, state: State, steps: int) -> None:
        super().__init__(f"after {steps} whole steps of the chunk")
        self.state, self.steps = state, steps


@dataclass(frozen=True)
class Backend:
    """One library on one device.

    ``asarray(x, dtype=None)`` moves host data (or an array of this library) to the device, ``to_numpy`` brings it
    back, ``synchronize`` waits for the device. ``compile(step, layout, compilation)`` gives ``run(state, data, order,
    draw)``, see `run_eagerly`; ``jit(function, compilation, rows)`` compiles a pure function of trees of arrays, those
    of the arguments numbered ``rows`` with a row each in their first axis. ``scope(dtype)`` is the context in which all
    work is done. ``owns(x)`` tells whether x is an array of this library. ``out_of_memory(error)`` is the lack of
    memory that an error of the library tells of, None for any other error. ``precisions`` are the ways to compute
    products.

    ``room()`` is the number of free bytes on a device with memory of its own, None elsewhere; ``compile``'s ``run``
    then takes data on the host too. A chunk of steps between two looks at the host has ``relative_speed`` times the
    work that is right for two cores, and ``most_steps`` steps at most. ``dlpack_device`` is the device as DLPack counts
    it (type and number) where arrays of other libraries are taken without a copy by ``borrow(x)``.
    ``read_together(*arrays)`` brings several arrays to the host in one transfer, where each would cost a wait.
    """

    name: str
    xp: Any = field(repr=False)
    device: Any
    dtypes: dict[str, Any] = field(repr=False, hash=False)
    asarray: Callable[..., Array] = field(repr=False)
    to_numpy: Callable[[Array], np.ndarray] = field(repr=False)
    owns: Callable[[Any], bool] = field(repr=False)
    scope: Callable[[str], AbstractContextManager] = field(repr=False)
    compile: Callable[[Step, Layout, Compilation], Run] = field(repr=False)
    jit: Callable[..., Callable] = field(repr=False, default=lambda function, compilation=None, rows=(-1,): function)
    synchronize: Callable[[], None] = field(repr=False, default=lambda: None)
    precisions: dict[str, Precision] = field(repr=False, hash=False, default_factory=lambda: {"highest": Precision()})
    out_of_memory: Callable[[BaseException], OutOfMemory | None] = field(repr=False, default=lambda error: None)
    room: Callable[[], int | None] = field(repr=False, default=lambda: None)
    relative_speed: float = field(repr=False, default=1.0)
    most_steps: int = field(repr=False, default=MANY)
    dlpack_device: tuple[int, int] | None = field(repr=False, default=None)
    borrow: Callable[[Any], Array] | None = field(repr=False, default=None)
    read_together: Callable[..., list[np.ndarray]] | None = field(repr=False, default=None)

    def read(self, *arrays: Array) -> list[np.ndarray]:
        """The arrays on the host."""
        return [self.to_numpy(one) for one in arrays] if self.read_together is None else self.read_together(*arrays)


def run_eagerly(xp: Any, asarray: Callable[..., Array]) -> Callable[..., Run]:
    """``compile`` for a library that runs each operation at once: a loop over the steps."""

    def compiled(step: Step, layout: Layout | None = None, compilation: Compilation | None = None) -> Run:
        (compilation or Compilation()).run_eagerly()

        def run(state: State, data: tuple, order: np.ndarray, draw: Callable[[int], Any]) -> tuple[State, Array]:
            """A chunk of steps; step i takes the rows ``order[i]`` of ``data`` (x, target, weights) and ``draw(i)``,
            the fields of a `mlpcore.typing.Batch` behind these.

            A failure is a ChunkError, see `run_steps`.
            """
            draws = (tree_map(asarray, draw(i)) for i in range(order.shape[0]))
            return run_steps(xp, step, state, data, asarray(order), draws)  # one transfer for the chunk

        return run

    return compiled


def run_steps(
    xp: Any, step: Step, state: State, data: tuple, order: Array, draws: Iterable[tuple]
) -> tuple[State, Array]:
    """The steps of a chunk, one after the other: step i takes the rows ``order[i]`` of ``data`` and the i-th draws.

    A failure in a later step, or while its draws are made, must not lose what the whole ones before it made: it is a
    ChunkError.
    """
    losses: list[Array] = []
    try:
        for i, drawn in enumerate(draws):
            rows = order[i, :]
            x, target, weights = (xp.take(part, rows, axis=0) for part in data)
            state, loss = step(state, Batch(x, target, weights, *drawn))
            losses.append(loss)
        return state, xp.stack(losses)
    except BaseException as error:
        raise ChunkError(state, len(losses)) from error


def native(x: Any) -> np.ndarray:
    """``x`` as a host array that every library takes: C order, aligned, native byte order, floats of 32 or 64 bits."""
    x = np.asarray(x)
    kind = x.dtype.newbyteorder("=")
    if kind.kind == "f" and kind.itemsize not in (4, 8):
        kind = np.dtype("float32" if kind.itemsize < 4 else "float64")
    return np.require(x, dtype=kind, requirements=["C", "A"])


def load(backend: str, module: str, install: str) -> Any:
    """The imported module, or a BackendUnavailable that says whether it is missing or broken, and how to install it."""
    try:
        return import_module(module)
    except ModuleNotFoundError as error:
        if error.name != module:
            raise unavailable(backend, f"{module} cannot be imported: {first_line(error)}", install) from error
        raise unavailable(backend, f"{module} is not installed", install) from error
    except Exception as error:  # a library that is broken raises whatever it likes
        raise unavailable(backend, f"{module} cannot be imported: {first_line(error)}", install) from error


def unavailable(backend: str, cause: str, remedy: str) -> BackendUnavailable:
    """The error of a backend that cannot run, on one line."""
    return BackendUnavailable(f"backend {backend!r}: {cause}; {remedy}")


def first_line(error: BaseException) -> str:
    """What the error says, without what it adds below, and its class where it says nothing."""
    return (str(error).strip().splitlines() or [type(error).__name__])[0].rstrip(".;")


def misplaced(library: str, found: Any, expected: Any, move: str) -> DataError:
    """The error for an array of the right library on the wrong device."""
    return DataError(
        f"a {library} array lies on {found}, expected {expected} like the model; move it with {move}, "
        f"or make the model with device={str(found)!r}"
    )
