"""A traced function with memory to run in: compiled C, or NumPy calls."""

from contextlib import AbstractContextManager, nullcontext
from typing import Any

import numpy as np

from mlpcore.backends.compilation import Compilation, failed
from mlpcore.compiler import blas
from mlpcore.compiler.build import CompilerError
from mlpcore.compiler.function import TracedFunction
from mlpcore.compiler.graph import Node
from mlpcore.compiler.memory import ALIGNMENT
from mlpcore.compiler.numpy_calls import NumpyCalls
from mlpcore.compiler.program import Bound

# Multiplications of the largest product: up to the first OpenBLAS takes one thread by itself; from the second on more
# threads are worth their waiting for each other.
TAKES_ONE, WORTH_MORE = 200_000, 16_000_000


def blas_threads(bound: Bound | NumpyCalls, multiplications: int) -> AbstractContextManager:
    """The context for such a largest product: BLAS on one thread where more are not worth it, or tiles have threads."""
    alone = isinstance(bound, Bound) and bound.in_tiles
    return blas.single_threaded() if alone or TAKES_ONE < multiplications < WORTH_MORE else nullcontext()


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
            failed(compilation, error)
    return NumpyCalls(traced.program, rows, given)


def aligned(shape: tuple[int, ...], dtype: Any) -> np.ndarray:
    """Uninitialised memory that begins where vectors begin."""
    count = int(np.prod(shape, dtype=np.int64)) * np.dtype(dtype).itemsize
    memory = np.empty(count + ALIGNMENT, np.uint8)
    begin = -memory.ctypes.data % ALIGNMENT
    return memory[begin : begin + count].view(dtype).reshape(shape)
