"""Estimates the memory of a training step, to suggest a batch size after an out-of-memory error."""

import traceback

from mlpcore.errors import OutOfMemoryError
from mlpcore.layers.containers import children
from mlpcore.layers.shapes import child_widths
from mlpcore.memory import OutOfMemory, describe
from mlpcore.typing import Layer

# Measured on array-api-strict, which frees memory like CuPy: 1.2 (ReLU) to 3.6 (Mish) arrays for every output of a
# layer, and 5 (SGD) to 9 (AdamW) flat vectors.
ARRAYS, VECTORS = 4, 12


def columns_kept(net: Layer, columns: int) -> int:
    """The number of values of one row in a forward pass: its ``columns``, and the outputs of all layers."""
    return columns + _output_columns(net, columns)


def _output_columns(layer: Layer, n_in: int | None) -> int:
    """The total of the output columns of all layers without children; an unknown number counts as 0."""
    if parts := children(layer):
        return sum(map(_output_columns, parts, child_widths(layer, n_in)))
    return layer.output_width(n_in) or n_in or 0


def step_bytes(kept: int, parameters: int, rows: int, itemsize: int) -> int:
    """An upper estimate of the bytes of a step on ``rows`` rows, besides data and state."""
    return itemsize * (ARRAYS * kept * rows + VECTORS * parameters)


def fitting_batch(free: int, kept: int, parameters: int, rows: int, itemsize: int) -> int:
    """The largest power of two below ``rows`` for which the estimate is within ``free`` bytes; 0 if there is none."""
    fitting = (free - itemsize * VECTORS * parameters) // (itemsize * ARRAYS * kept)
    most = min(fitting, rows - 1)
    return 1 << (most.bit_length() - 1) if most > 0 else 0


def out_of_memory(
    lack: OutOfMemory, net: Layer, columns: int, parameters: int, rows: int, itemsize: int, where: str
) -> OutOfMemoryError:
    """The error for a step that found too little memory; it suggests a batch size that should fit."""
    kept = columns_kept(net, columns)
    message = f"{describe(lack)}, in {where}"
    message += f". A step on {rows} rows takes about {step_bytes(kept, parameters, rows, itemsize) / 2**20:.0f} MiB"
    if lack.free is None:
        message += "; try half the batch_size"
    elif batch := fitting_batch(lack.free, kept, parameters, rows, itemsize):
        message += f"; batch_size={batch} should fit"
    else:
        message += "; no batch should fit into the free memory: free more or take a smaller network"
    return OutOfMemoryError(f"{message}. The model stands at its last whole step")


def forget_frames(error: BaseException | None) -> None:
    """Clear the local variables in an error's traceback, as the arrays they hold count as used memory."""
    while error is not None:
        traceback.clear_frames(error.__traceback__)
        error = error.__cause__ or error.__context__
