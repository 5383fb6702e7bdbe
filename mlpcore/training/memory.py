"""The memory of a training step, estimated: which batch fits where one did not."""

import traceback

from mlpcore.backends.device_errors import OutOfMemory, describe
from mlpcore.errors import OutOfMemoryError
from mlpcore.layers.containers import children
from mlpcore.layers.shapes import child_widths
from mlpcore.typing import Layer

# Found with the definitions on array-api-strict, which frees like CuPy: 1.2 (ReLU) to 3.6 (Mish) arrays for every
# array that a layer gives, and 5 (SGD) to 9 (AdamW) vectors for the vector of parameters.
ARRAYS, VECTORS = 4, 12


def columns_kept(net: Layer, columns: int) -> int:
    """Numbers that a forward pass makes of one row of so many columns, the row itself counted: one for each output."""
    return columns + _columns_given(net, columns)


def _columns_given(layer: Layer, n_in: int | None) -> int:
    """The columns of the outputs of all leaf layers; those of one that nothing is known of count as none."""
    if parts := children(layer):
        return sum(map(_columns_given, parts, child_widths(layer, n_in)))
    return layer.output_width(n_in) or n_in or 0


def step_bytes(kept: int, parameters: int, rows: int, itemsize: int) -> int:
    """An upper estimate of what a step on ``rows`` rows takes beside data and state."""
    return itemsize * (ARRAYS * kept * rows + VECTORS * parameters)


def fitting_batch(free: int, kept: int, parameters: int, rows: int, itemsize: int) -> int:
    """The largest power of two below ``rows`` for which the estimate is within ``free`` bytes; 0 if there is none."""
    room = (free - itemsize * VECTORS * parameters) // (itemsize * ARRAYS * kept)
    most = min(room, rows - 1)
    return 1 << (most.bit_length() - 1) if most > 0 else 0


def out_of_memory(
    lack: OutOfMemory, net: Layer, columns: int, parameters: int, rows: int, itemsize: int, where: str
) -> OutOfMemoryError:
    """The error of a step that found too little memory, with the batch that should fit."""
    kept = columns_kept(net, columns)
    said = f"{describe(lack)}, in {where}"
    said += f". A step on {rows} rows takes about {step_bytes(kept, parameters, rows, itemsize) / 2**20:.0f} MiB"
    if lack.free is None:
        said += "; try half the batch_size"
    elif batch := fitting_batch(lack.free, kept, parameters, rows, itemsize):
        said += f"; batch_size={batch} should fit"
    else:
        said += "; no batch should fit beside what lies there now: free memory or take a smaller network"
    return OutOfMemoryError(f"{said}. The model stands at its last whole step")


def forget_frames(error: BaseException | None) -> None:
    """Let go of the arrays that the functions on an error's way held: they count as used until then."""
    while error is not None:
        traceback.clear_frames(error.__traceback__)
        error = error.__cause__ or error.__context__
