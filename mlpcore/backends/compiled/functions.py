"""``jit`` for NumPy: a pure function of arrays is traced once and runs as compiled C or as NumPy calls."""

import operator
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np

from mlpcore.backends.compilation import Compilation
from mlpcore.backends.compiled.bound import aligned_zeros, bind, blas_threads
from mlpcore.backends.compiled.step_cache import cached_trace, function_key
from mlpcore.compiler.function import AbstractArray, TracedFunction
from mlpcore.compiler.graph import N, RowsNeeded, Untraceable, has_rows
from mlpcore.compiler.once import tracing
from mlpcore.signals import from_a_handler
from mlpcore.trees import leaves, tree_map
from mlpcore.typing import Array, Tree

BLOCK = 2048  # rows of a call, if rows are independent: so few that intermediate arrays stay in the cache
MAX_PROGRAMS = 8  # idle bound programs of a function; the least recently used is dropped


def jit(
    function: Callable[..., Tree], compilation: Compilation | None = None, rows: tuple[int, ...] = (-1,)
) -> Callable[..., Tree]:
    """A compiled version of ``function(*fixed, x)``; ``fixed`` are trees of arrays that are the same in most calls.

    ``rows`` are the numbers of the arguments whose first axis is rows. Results are new arrays. A function that cannot
    be traced runs eagerly. Several threads may call it at the same time.
    """
    return CompiledFunction(function, compilation or Compilation(), rows)


@dataclass(eq=False)
class BoundFunction:
    """A traced function bound to the arrays ``fixed``; each call copies x into ``buffer``, which the program reads."""

    traced: TracedFunction
    bound: Any
    compiled: bool
    fixed: tuple
    buffer: np.ndarray
    rows: int
    largest_product: int  # multiplications, for ``rows`` rows

    def accepts(self, fixed: tuple, x: Array, compiled: bool) -> bool:
        """Whether it is bound to the arrays ``fixed`` and can be called for x."""
        buffer = self.buffer
        if compiled is not self.compiled or x.dtype != buffer.dtype or x.shape[1:] != buffer.shape[1:]:
            return False
        if x.shape[:1] != buffer.shape[:1] and not (compiled and self.by_rows and x.shape[0] <= buffer.shape[0]):
            return False
        if all(map(operator.is_, fixed, self.fixed)):  # the common case: the same trees
            return True
        mine, other = leaves(self.fixed), leaves(fixed)
        return len(mine) == len(other) and all(map(operator.is_, mine, other))

    @property
    def by_rows(self) -> bool:
        """Whether the number of rows of x is symbolic."""
        return has_rows(self.traced.inputs[-1].shape)

    def __call__(self, x: Array) -> Tree:
        """The result of the function for x."""
        if self.compiled and self.by_rows:
            rows = x.shape[0]
            self.buffer[:rows] = x
            with blas_threads(self.bound, self.largest_product * rows // self.rows):
                self.bound.call(rows)
            return tree_map(lambda node: self.bound.output(node, rows).copy(), self.traced.result)
        np.copyto(self.buffer, x)
        with blas_threads(self.bound, self.largest_product):
            self.bound.call()
        return tree_map(lambda node: self.bound.output(node).copy(), self.traced.result)


class CompiledFunction:
    """A function, with its traces by shapes of arguments, and its bound programs."""

    def __init__(self, function: Callable[..., Tree], compilation: Compilation, rows: tuple[int, ...]) -> None:
        self.function, self.compilation, self.rows = function, compilation, rows
        self.traced: dict[str, TracedFunction | Exception] = {}
        # Not in use by any thread, the last used last. Lists change whole, so that no lock is needed.
        self.idle: list[BoundFunction] = []

    def __call__(self, *arguments: Any) -> Tree:
        """The result of the function."""
        *leading, x = arguments
        fixed = tuple(leading)
        if x.shape[:1] in ((), (0,)):
            return self.function(*arguments)
        first = x[:BLOCK, ...] if self.rows == (-1,) else x
        prepared = self._acquire(fixed, first)
        if prepared is None:
            return self.function(*arguments)
        if first.shape == x.shape:
            return self._run(prepared, x)
        if not prepared.traced.row_by_row:
            self._release(prepared)
            prepared = self._acquire(fixed, x)
            return self.function(*arguments) if prepared is None else self._run(prepared, x)
        parts = [self._run(prepared, first)]
        for start in range(BLOCK, x.shape[0], BLOCK):
            block = x[start : start + BLOCK, ...]
            prepared = self._acquire(fixed, block)
            assert prepared is not None, "traced for the first block"
            parts.append(self._run(prepared, block))
        return tree_map(lambda *blocks: np.concatenate(blocks, axis=0), *parts)

    def _run(self, prepared: BoundFunction, x: Array) -> Tree:
        try:
            return prepared(x)
        finally:
            self._release(prepared)

    def _acquire(self, fixed: tuple, x: Array) -> BoundFunction | None:
        """A bound program for use by this thread alone; None where the function cannot be traced."""
        compiled = self.compilation.compiles
        for prepared in reversed([*self.idle]):
            if prepared.accepts(fixed, x, compiled):
                try:
                    self.idle.remove(prepared)
                except ValueError:  # another thread has taken it
                    continue
                return prepared
        traced = self._trace((*fixed, x))
        try:
            return None if traced is None else self._bind(traced, fixed, x)
        except Untraceable:  # C has no equivalent of one of its operations
            return None

    def _release(self, prepared: BoundFunction) -> None:
        self.idle.append(prepared)
        del self.idle[:-MAX_PROGRAMS]

    def _trace(self, arguments: tuple) -> TracedFunction | None:
        packed = all(leaf.flags.c_contiguous and leaf.flags.aligned for leaf in leaves(arguments[:-1]))
        traced = traced_for(arguments, self.rows, self.traced, self.function) if packed else None
        return traced if isinstance(traced, TracedFunction) else None

    def _bind(self, traced: TracedFunction, fixed: tuple, x: Array) -> BoundFunction:
        by_rows = has_rows(traced.inputs[-1].shape)
        compiled = self.compilation.compiles
        rows = leaves((*fixed, x)[self.rows[0]])[0].shape[0]
        if compiled and by_rows:
            rows = 1 << (rows - 1).bit_length()  # a power of two, so that the same memory serves many numbers of rows
        buffer = aligned_zeros((rows, *x.shape[1:]) if by_rows else x.shape, x.dtype)
        inputs = dict(zip(leaves(traced.inputs), [*leaves(fixed), buffer], strict=True))
        bound = bind(traced, rows, inputs, self.compilation, fewer=by_rows)
        product = traced.program.largest_product(rows)
        return BoundFunction(traced, bound, self.compilation.compiles, fixed, buffer, rows, product)


def traced_for(
    arguments: tuple,
    rows: tuple[int, ...],
    cache: dict[str, TracedFunction | Exception],
    function: Callable[..., Tree],
    **words: Any,
) -> TracedFunction | Exception:
    """The function traced for arguments of these shapes and dtypes, or the exception that says why it cannot be traced.

    It is traced for any number of rows, or for the actual one where the function computes with it. ``cache`` holds
    earlier results; functions of one configuration share theirs. ``words`` are further arguments of `TracedFunction`.
    """
    with_rows = {i % len(arguments) for i in rows}
    exact = tree_map(lambda leaf: AbstractArray(leaf.shape, leaf.dtype), arguments)
    any_rows = tuple(
        tree_map(lambda leaf: AbstractArray((N, *leaf.shape[1:]), leaf.dtype), tree) if i in with_rows else tree
        for i, tree in enumerate(exact)
    )
    for shapes in (any_rows, exact):
        key = str(shapes)
        if key not in cache:
            with tracing:
                if key not in cache:
                    cache[key] = _trace_or_error(function, shapes, key, words)
        traced = cache[key]
        if not isinstance(traced, RowsNeeded):
            break
    return traced


def _trace_or_error(
    function: Callable[..., Tree], shapes: tuple, key: str, words: dict[str, Any]
) -> TracedFunction | Exception:
    try:
        about = function_key(function)
        shared = None if about is None else (about, key, *words.items())
        return cached_trace(shared, partial(TracedFunction, function, shapes, **words))
    except MemoryError:
        raise
    except Exception as error:  # an error of the function itself is raised again by the eager call
        if from_a_handler(error):
            raise
        return error
