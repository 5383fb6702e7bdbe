"""A traced function with memory to run in: compiled C, or NumPy calls."""

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
from mlpcore.compiler.program import Bound

# Multiplications of the largest product: up to the first OpenBLAS takes one thread by itself; from the second on more
# threads are worth their waiting for each other.
TAKES_ONE, WORTH_MORE = 200_000, 16_000_000


def blas_threads(bound: Bound | NumpyCalls, multiplications: int) -> AbstractContextManager:
    """The context for such a largest product: BLAS on one thread where more are not worth it, or tiles have threads."""
    alone = isinstance(bound, Bound) and bound.in_tiles
    return single_threaded() if alone or TAKES_ONE < multiplications < WORTH_MORE else nullcontext()


def bind(
    traced: TracedFunction, rows: int, given: dict[Node, np.ndarray], compilation: Compilation, fewer: bool = False
) -> Bound | NumpyCalls:
    """The function bound to the arrays of its inputs; compiled code can be called for ``fewer`` rows too."""
    if compilation.compiles:
        linked = blas.find()
        assert linked is not None, "decided by `Compilation.decide`"
        try:
            return Bound(traced.program, rows, given, linked, fewer=fewer)
        except CompilerError as error:
            compilation.fall_back(error)
    return NumpyCalls(traced.program, rows, given)


def aligned(shape: tuple[int, ...], dtype: Any) -> np.ndarray:
    """An array of zeros that begins where vectors begin."""
    return memory.aligned(math.prod(shape) * np.dtype(dtype).itemsize).view(dtype).reshape(shape)
