"""The memory of a stack, and how many members fit.

k members take ``k * (state + step)`` bytes beside the data. ``state`` are the parameters, running statistics, state of
the optimizer and average of one member; ``step`` is the estimate `mlpcore.training.memory.step_bytes` for one batch.
"""

import os
from collections.abc import Sequence

import numpy as np

from mlpcore.backends.backend import Backend
from mlpcore.errors import OutOfMemoryError
from mlpcore.model import Model
from mlpcore.training.memory import columns_kept, step_bytes
from mlpcore.trees import leaves


def member_bytes(model: Model, columns: int, batch_size: int) -> int:
    """The bytes of one member: its state, and an estimate of a step on a batch of rows of so many columns."""
    itemsize = np.dtype(model.dtype).itemsize
    state = sum(int(np.prod(leaf.shape, dtype=int)) * itemsize for leaf in leaves(model.trainer.state))
    return state + step_bytes(columns_kept(model.net, columns), model.layout.size, batch_size, itemsize)


def check_memory(models: Sequence[Model], columns: int, batch_size: int) -> None:
    """OutOfMemoryError, with the number of members that fit, if all of them take more than there is."""
    each = member_bytes(models[0], columns, batch_size)
    memory = memory_bytes(models[0].backend)
    if memory is not None and len(models) * each > memory:
        raise OutOfMemoryError(
            f"Stack.fit: {len(models)} members with batches of {batch_size} rows take about "
            f"{len(models) * each / 2**20:,.0f} MiB, and there are {memory / 2**20:,.0f} MiB; {memory // each} members "
            "fit. Train them in several stacks, or with a smaller batch_size"
        )


def memory_bytes(backend: Backend) -> int | None:
    """The free memory of a device with memory of its own, else all memory of this machine; None where unknown."""
    free = backend.extras.free_memory()
    if free is not None:
        return free
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, OSError, ValueError):  # Windows has no sysconf
        return None
