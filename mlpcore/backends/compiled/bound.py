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

# Multiplications of the largest product. Up to the first number OpenBLAS itself uses one thread; from the second on,
# more threads are worth their synchronisation.
TAKES_ONE, WORTH_MORE = 200_000, 16_000_000


def blas_threads(bound: BoundProgram | NumpyCalls, multiplications: int) -> AbstractContextManager:
    """The context of a call with this largest product: BLAS has one thread if more do not pay, or if tiles use them."""
    tiled = isinstance(bound, BoundProgram) and bound.in_tiles
    return single_threaded() if tiled or TAKES_ONE < multiplications < WORTH_MORE else nullcontext()


def bind(
    traced: TracedFunction, rows: int, inputs: dict[Node, np.ndarray], compilation: Compilation, fewer: bool = False
) -> BoundProgram | NumpyCalls:
    """The function bound to its input arrays; with ``fewer``, compiled code can be called for fewer rows too."""
    if compilation.compiles:
        linked = blas.find()
        assert linked is not None, "decided by `Compilation.decide`"
        try:
            return BoundProgram(traced.program, rows, inputs, linked, fewer=fewer)
        except CompilerError as error:
            compilation.fall_back(error)
    return NumpyCalls(traced.program, rows, inputs)


def aligned_zeros(shape: tuple[int, ...], dtype: Any) -> np.ndarray:
    """An array of zeros in aligned memory."""
    return memory.aligned_bytes(math.prod(shape) * np.dtype(dtype).itemsize).view(dtype).reshape(shape)
