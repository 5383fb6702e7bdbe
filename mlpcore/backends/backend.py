"""What a backend is: a library, a device, and the way a run of steps goes there. The rest of the code holds no name."""

from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from mlpcore.backends.compilation import Compilation
from mlpcore.backends.device_errors import OutOfMemory
from mlpcore.backends.precision import Precision
from mlpcore.backends.run import Run
from mlpcore.trees import Layout
from mlpcore.typing import Array, Step

# A GPU does some 200 times the work of two cores in the same time, and about 1000 launched steps in half a second.
GPU_SPEED, GPU_STEPS, MANY = 200.0, 1000, 1 << 62


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
