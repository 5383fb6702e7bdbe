"""``jit`` for NumPy: a pure function of arrays is traced once, and runs as compiled C or as NumPy calls."""

import operator
import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from mlpcore.backends.compilation import Compilation
from mlpcore.backends.compiled.bound import aligned, bind, blas_threads
from mlpcore.compiler.function import AbstractArray, TracedFunction
from mlpcore.compiler.graph import N, RowsNeeded, Untraceable, has_rows
from mlpcore.trees import leaves, tree_map
from mlpcore.typing import Array, Tree

BLOCK = 2048  # rows at a time, where rows do not depend on each other: what they make stays in the cache
KEPT = 8  # bound programs whose memory is kept


def jit(
    function: Callable[..., Tree], compilation: Compilation | None = None, rows: tuple[int, ...] = (-1,)
) -> Callable[..., Tree]:
    """``function(*fixed, x)`` for calls in which x changes and the trees of other arrays are mostly the same objects.

    The arguments numbered ``rows`` have a row each in their first axis. Results are arrays of their own. What cannot
    be traced is called as it is. Calls from several threads run side by side.
    """
    return Function(function, compilation or Compilation(), rows)


@dataclass(eq=False)
class BoundFunction:
    """A traced function that is bound to the arrays ``fixed`` and reads x from ``place``."""

    traced: TracedFunction
    bound: Any
    compiled: bool
    fixed: tuple
    place: np.ndarray
    rows: int
    largest_product: int  # of so many rows

    def serves(self, fixed: tuple, x: Array, compiled: bool) -> bool:
        """Whether it computes the function of these very arrays, and of arrays like x."""
        place = self.place
        if compiled is not self.compiled or x.dtype != place.dtype or x.shape[1:] != place.shape[1:]:
            return False
        if x.shape[:1] != place.shape[:1] and not (compiled and self.by_rows and x.shape[0] <= place.shape[0]):
            return False
        if all(map(operator.is_, fixed, self.fixed)):  # most often they are in the same trees
            return True
        mine, given = leaves(self.fixed), leaves(fixed)
        return len(mine) == len(given) and all(map(operator.is_, mine, given))

    @property
    def by_rows(self) -> bool:
        """Whether x has rows of an unknown number."""
        return has_rows(self.traced.inputs[-1].shape)

    def __call__(self, x: Array) -> Tree:
        """The function's result for x."""
        if self.compiled and self.by_rows:
            rows = x.shape[0]
            self.place[:rows] = x
            with blas_threads(self.bound, self.largest_product * rows // self.rows):
                self.bound.call(rows)
            return tree_map(lambda node: self.bound.output(node, rows).copy(), self.traced.result)
        np.copyto(self.place, x)
        with blas_threads(self.bound, self.largest_product):
            self.bound.call()
        return tree_map(lambda node: self.bound.output(node).copy(), self.traced.result)


class Function:
    """A function with the programs and the memory that were made for it."""

    def __init__(self, function: Callable[..., Tree], compilation: Compilation, rows: tuple[int, ...]) -> None:
        self.function, self.compilation, self.rows = function, compilation, rows
        self.traced: dict[str, TracedFunction | Exception] = {}
        self.free: list[BoundFunction] = []  # those that nobody runs at the moment, the last used last
        self.lock = threading.Lock()

    def __call__(self, *arguments: Any) -> Tree:
        """The function's result."""
        *given, x = arguments
        fixed = tuple(given)
        if x.shape[:1] in ((), (0,)):
            return self.function(*arguments)
        first = x[:BLOCK, ...] if self.rows == (-1,) else x
        prepared = self._take(fixed, first)
        if prepared is None:
            return self.function(*arguments)
        if first.shape == x.shape:
            return self._run(prepared, x)
        if not prepared.traced.row_by_row:
            self._give_back(prepared)
            prepared = self._take(fixed, x)
            return self.function(*arguments) if prepared is None else self._run(prepared, x)
        parts = [self._run(prepared, first)]
        for start in range(BLOCK, x.shape[0], BLOCK):
            block = x[start : start + BLOCK, ...]
            prepared = self._take(fixed, block)
            assert prepared is not None, "traced for the first block"
            parts.append(self._run(prepared, block))
        return tree_map(lambda *blocks: np.concatenate(blocks, axis=0), *parts)

    def _run(self, prepared: BoundFunction, x: Array) -> Tree:
        try:
            return prepared(x)
        finally:
            self._give_back(prepared)

    def _take(self, fixed: tuple, x: Array) -> BoundFunction | None:
        """A bound program that nobody else runs meanwhile; None where the function cannot be traced."""
        compiled = self.compilation.compiles
        with self.lock:
            for prepared in reversed(self.free):
                if prepared.serves(fixed, x, compiled):
                    self.free.remove(prepared)
                    return prepared
            traced = self._trace((*fixed, x))
        try:
            return None if traced is None else self._bind(traced, fixed, x)
        except Untraceable:  # C lacks one of its functions
            return None

    def _give_back(self, prepared: BoundFunction) -> None:
        with self.lock:
            self.free.append(prepared)
            del self.free[:-KEPT]

    def _trace(self, arguments: tuple) -> TracedFunction | None:
        packed = all(leaf.flags.c_contiguous and leaf.flags.aligned for leaf in leaves(arguments[:-1]))
        traced = traced_for(arguments, self.rows, self.traced, self.function) if packed else None
        return traced if isinstance(traced, TracedFunction) else None

    def _bind(self, traced: TracedFunction, fixed: tuple, x: Array) -> BoundFunction:
        by_rows = has_rows(traced.inputs[-1].shape)
        compiled = self.compilation.compiles
        rows = leaves((*fixed, x)[self.rows[0]])[0].shape[0]
        if compiled and by_rows:
            rows = 1 << (rows - 1).bit_length()  # one memory serves many numbers of rows
        place = aligned((rows, *x.shape[1:]) if by_rows else x.shape, x.dtype)
        given = dict(zip(leaves(traced.inputs), [*leaves(fixed), place], strict=True))
        bound = bind(traced, rows, given, self.compilation, fewer=by_rows)
        product = traced.program.largest_product(rows)
        return BoundFunction(traced, bound, self.compilation.compiles, fixed, place, rows, product)


def traced_for(
    arguments: tuple,
    rows: tuple[int, ...],
    known: dict[str, TracedFunction | Exception],
    function: Callable[..., Tree],
    **words: Any,
) -> TracedFunction | Exception:
    """The function traced for arguments like these, for any number of rows where it does not compute with it, or why it
    cannot be; ``known`` holds what was traced before. ``words`` are those of `TracedFunction`."""
    at = {i % len(arguments) for i in rows}
    exact = tree_map(lambda leaf: AbstractArray(leaf.shape, leaf.dtype), arguments)
    some = tuple(
        tree_map(lambda leaf: AbstractArray((N, *leaf.shape[1:]), leaf.dtype), tree) if i in at else tree
        for i, tree in enumerate(exact)
    )
    for shapes in (some, exact):
        key = str(shapes)
        if key not in known:
            try:
                known[key] = TracedFunction(function, shapes, **words)
            except Exception as error:  # whatever is wrong with the function shows when it is called
                known[key] = error
        traced = known[key]
        if not isinstance(traced, RowsNeeded):
            break
    return traced
