"""Binds a traced function to memory, as compiled C or as NumPy calls."""

import math
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import numpy as np

from mlpcore.backends.compilation import Compilation
from mlpcore.compiler import blas, memory
from mlpcore.compiler.blas_threads import single_threaded
from mlpcore.compiler.build import CompilerError
from mlpcore.compiler.function import TracedFunction
from mlpcore.compiler.graph import Node
from mlpcore.compiler.numpy_calls import NumpyCalls
from mlpcore.compiler.program import BoundProgram

# Sizes of matrix products, in multiplications. Below the first OpenBLAS itself uses one thread; from the second on,
# several threads save more time than their synchronisation takes.
ONE_THREAD_BELOW, THREADS_FROM = 200_000, 16_000_000


def blas_threads(bound: BoundProgram | NumpyCalls, multiplications: int) -> AbstractContextManager:
    """The context of a call: one BLAS thread if more do not pay for the largest product, or if threads run tiles."""
    tiled = isinstance(bound, BoundProgram) and bound.in_tiles
    return single_threaded() if tiled or ONE_THREAD_BELOW < multiplications < THREADS_FROM else nullcontext()


def bind(
    traced: TracedFunction, rows: int, inputs: dict[Node, np.ndarray], compilation: Compilation, fewer: bool = False
) -> BoundProgram | NumpyCalls:
    """The function bound to memory for ``rows`` rows and to its input arrays.

    With ``fewer``, compiled code can also be called for fewer rows. It falls back to NumPy calls if the compiler fails.
    """
    if compilation.compiles:
        library = blas.find()
        assert library is not None, "decided by `Compilation.decide`"
        try:
            return BoundProgram(traced.program, rows, inputs, library, fewer=fewer)
        except CompilerError as error:
            compilation.fall_back(error)
    return NumpyCalls(traced.program, rows, inputs)


def aligned_zeros(shape: tuple[int, ...], dtype: Any) -> np.ndarray:
    """An array of zeros in aligned memory."""
    return memory.aligned_bytes(math.prod(shape) * np.dtype(dtype).itemsize).view(dtype).reshape(shape)
