"""Refuses models, rows and fits that cannot fit into memory, before anything is allocated or changed.

Every number here is a lower bound of what is needed, so that nothing is refused that would run.
"""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from mlpcore.backends.backend import Backend
from mlpcore.errors import OutOfMemoryError
from mlpcore.host_memory import SMALL, refuse
from mlpcore.layers import LAYERS
from mlpcore.layers.containers import children
from mlpcore.layers.shapes import parameter_shapes
from mlpcore.memory import HostMemory, size
from mlpcore.trees import leaves
from mlpcore.typing import Dataset, Layer, Optimizer, State


def parameter_count(net: Layer) -> int:
    """The number of parameters of mlpcore's own layers; those of other layers, whose arrays are unknown, count as 0."""
    if parts := children(net):
        return sum(map(parameter_count, parts))
    return sum(leaf.size for leaf in leaves(parameter_shapes(net, "float32"))) if type(net) in LAYERS else 0


@HostMemory()
def refuse_model(net: Layer, optimizer: Optimizer, average: bool, backend: Backend, dtype: str) -> None:
    """OutOfMemoryError for a model whose arrays cannot fit.

    On the host the tree of P parameters and their vector exist together: ``2 P itemsize`` bytes. On a device with
    memory of its own the vector, the state of the optimizer (v vectors) and the average do: ``(1 + v + average) P
    itemsize`` bytes, compared with what is free there.
    """
    count, itemsize = parameter_count(net), np.dtype(dtype).itemsize
    if count * itemsize <= SMALL // 2:
        return
    remedy = "take a narrower network" + ("" if itemsize == 4 else ", or dtype='float32'")
    refuse(f"{count:,} parameters of {itemsize} bytes, twice", 2 * count * itemsize, remedy)
    vectors = 1 + _vectors(optimizer) + average
    free, needed = backend.extras.free_memory(), vectors * count * itemsize
    if free is not None and needed > free:
        raise OutOfMemoryError(
            f"out of memory on {backend.device}: {vectors} vectors (parameters, optimizer{', average' * average}) of "
            f"{count:,} numbers of {itemsize} bytes are {size(needed)}, and {size(free)} are free. Nothing was "
            f"changed; {remedy}, or free other arrays of the device"
        )


def _vectors(optimizer: Optimizer) -> int:
    """The number of vectors like the parameters in the state of an optimizer."""
    vector = np.zeros(2, np.float32)
    return sum(np.shape(leaf) == vector.shape for leaf in leaves(optimizer.init(vector)))


def refuse_rows(x: Any, storage: Backend, dtype: str) -> None:
    """OutOfMemoryError where a host array must be converted to ``dtype`` and the copy cannot fit into host memory.

    A device with memory of its own gets converted rows a few at a time, and those that it has no room for stream.
    """
    kind = np.dtype(dtype)
    if not isinstance(x, np.ndarray) or x.dtype == kind or x.size * kind.itemsize <= SMALL:
        return
    if storage.extras.free_memory() is not None:
        return
    remedy = f"save the rows as {dtype} and pass np.load(path, mmap_mode='r')"
    refuse(f"rows of shape {x.shape} as {dtype}", math.prod(x.shape) * kind.itemsize, remedy)


def refuse_fit(states: Sequence[State], data: Dataset, batch_size: int, backend: Backend) -> None:
    """OutOfMemoryError where the states of some models, and a batch of the first, cannot be in host memory together.

    They are the parameters, running statistics, state of the optimizer and average, all of which a step writes, and the
    batch, ``rows (columns of x, target and weights) itemsize`` bytes.
    """
    if backend.extras.free_memory() is not None:
        return
    state = sum(map(state_bytes, states))
    batch = batch_size * sum(math.prod(array.shape[1:]) * _itemsize(array) for array in data)
    models = "the model" if len(states) == 1 else f"{len(states)} models"
    what = f"what training writes of {models} ({size(state)}) and a batch of {batch_size} rows ({size(batch)})"
    remedy = "use a smaller batch_size, a narrower network" + ("" if len(states) == 1 else " or several stacks")
    refuse(what, state + batch, remedy)


def state_bytes(state: State) -> int:
    """The bytes of what a step writes of a model."""
    return sum(math.prod(leaf.shape) * _itemsize(leaf) for leaf in leaves(state))


def _itemsize(array: Any) -> int:
    """The bytes of an entry; 4, which is the least, for arrays of libraries that do not say."""
    return getattr(array.dtype, "itemsize", 4)
