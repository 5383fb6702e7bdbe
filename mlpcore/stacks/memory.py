"""The memory of a stack, and how many members may fit.

k members take ``k * state`` bytes at least, beside the data and the temporary arrays of steps. ``state`` are the
parameters, running statistics, state of the optimizer and average of one member. Where the members of a stack train as
one on a device, their states are copied to arrays of the stack, so that this much must be free; on the host they exist
already.
"""

from collections.abc import Sequence

from mlpcore.backends.calls import one_after_another
from mlpcore.errors import OutOfMemoryError
from mlpcore.memory import size
from mlpcore.model import Model
from mlpcore.training.refusal import refuse_fit, state_bytes
from mlpcore.typing import Dataset


def check_memory(models: Sequence[Model], data: Dataset, batch_size: int) -> None:
    """OutOfMemoryError, before anything changes, if all members together need more memory than there is."""
    backend = models[0].backend
    refuse_fit([model.trainer.state for model in models], data, batch_size, backend)
    each, free = state_bytes(models[0].trainer.state), backend.extras.free_memory()
    copied = backend.compile.side_by_side is not one_after_another
    if free is not None and copied and len(models) * each > free:
        raise OutOfMemoryError(
            f"out of memory on {backend.device}: Stack.fit copies the states of {len(models)} members, which are "
            f"{size(len(models) * each)}, and {size(free)} are free, for {free // each} members. Nothing was changed; "
            "train them in several stacks"
        )
