"""Functions of the traced namespace that reduce axes, and sort."""

import math
from collections.abc import Iterator
from typing import Any

import numpy as np

from mlpcore.compiler.graph import N, Untraceable, label
from mlpcore.compiler.shaping import normal_axes, normal_axis


class Reductions:
    """The reductions of the namespace."""

    graph: Any
    wrap: Any
    asarray: Any
    astype: Any
    squeeze: Any
    moveaxis: Any
    sqrt: Any
    maximum: Any
    isnan: Any
    less: Any
    where: Any
    take: Any
    flip: Any

    def reduction(self, name: str, x: Any, axis: Any = None, keepdims: bool = False, dtype: Any = None) -> Any:
        """The reduction ``name`` over the axes, all of them by default."""
        x, axes = self.asarray(x), normal_axes(axis, x.ndim)
        keep = tuple(1 if i in axes else d for i, d in enumerate(x.shape))
        node = self.graph.add(name, "reduce", (x.node,), keep, x.dtype if dtype is None else dtype, label(), axes=axes)
        result = self.wrap(node)
        return result if keepdims else self.squeeze(result, axes)

    def sum(self, x: Any, /, *, axis: Any = None, dtype: Any = None, keepdims: bool = False) -> Any:
        """The sum; integers are summed as int64, by the standard's rule."""
        return self.reduction("sum", self.astype(x, dtype or _widened(x.dtype)), axis, keepdims)

    def prod(self, x: Any, /, *, axis: Any = None, dtype: Any = None, keepdims: bool = False) -> Any:
        """The product."""
        return self.reduction("prod", self.astype(x, dtype or _widened(x.dtype)), axis, keepdims)

    def max(self, x: Any, /, *, axis: Any = None, keepdims: bool = False) -> Any:
        """The largest entry, NaN where there is one."""
        return self.reduction("max", x, axis, keepdims)

    def min(self, x: Any, /, *, axis: Any = None, keepdims: bool = False) -> Any:
        """The smallest entry, NaN where there is one."""
        return self.reduction("min", x, axis, keepdims)

    def any(self, x: Any, /, *, axis: Any = None, keepdims: bool = False) -> Any:
        """Whether an entry is true."""
        return self.reduction("any", self.astype(x, np.dtype(bool)), axis, keepdims)

    def all(self, x: Any, /, *, axis: Any = None, keepdims: bool = False) -> Any:
        """Whether every entry is true."""
        return self.reduction("all", self.astype(x, np.dtype(bool)), axis, keepdims)

    def argmax(self, x: Any, /, *, axis: Any = None, keepdims: bool = False) -> Any:
        """The index of the largest entry along an axis, of equal ones the first."""
        if axis is None:
            raise Untraceable("argmax over all axes at once")
        last = self.moveaxis(x, axis, -1)
        indices = self.reduction("argmax", last, -1, True, np.dtype("int64"))
        return self.moveaxis(indices, -1, axis) if keepdims else self.squeeze(indices, -1)

    def sort(self, x: Any, /, *, axis: int = -1, descending: bool = False, stable: bool = True) -> Any:
        """The entries along an axis in ascending order with NaN last, or the reverse of that.

        A sorting network: in each stage every entry is compared with one partner.
        """
        axis = normal_axis(axis, x.ndim)
        if x.shape[axis] is N:
            N.refuse()
        for partners in sorting_network(x.shape[axis]):
            first = (partners >= np.arange(len(partners))).reshape(-1, *[1] * (x.ndim - axis - 1))
            other = self.take(x, partners, axis=axis)
            low, high = self.where(first, x, other), self.where(first, other, x)
            swap = self.less(high, low)
            x = self.where(swap | self.isnan(low) if x.dtype.kind == "f" else swap, other, x)
        return self.flip(x, axis=axis) if descending else x

    def mean(self, x: Any, /, *, axis: Any = None, keepdims: bool = False) -> Any:
        """The sum divided by the number of entries."""
        total = self.sum(x, axis=axis, keepdims=keepdims)
        return total / self._count(x, axis)

    def var(self, x: Any, /, *, axis: Any = None, correction: float = 0, keepdims: bool = False) -> Any:
        """The variance: the mean of the squared distance to the mean, divided by the count less ``correction``."""
        deviation = x - self.mean(x, axis=axis, keepdims=True)
        count = self._count(x, axis)
        if correction:
            count = max(count - correction, 0.0) if isinstance(count, float) else self.maximum(count - correction, 0.0)
        return self.sum(deviation * deviation, axis=axis, keepdims=keepdims) / count

    def std(self, x: Any, /, *, axis: Any = None, correction: float = 0, keepdims: bool = False) -> Any:
        """The square root of `var`."""
        return self.sqrt(self.var(x, axis=axis, correction=correction, keepdims=keepdims))

    def _count(self, x: Any, axis: Any) -> Any:
        """The number of entries along the axes: a float, or a traced number if it depends on the number of rows."""
        dims = [x.shape[i] for i in normal_axes(axis, x.ndim)]
        count: Any = math.prod(d for d in dims if d is not N)
        if any(d is N for d in dims):
            rows = self.graph.add("rows", "elementwise", (), (), x.dtype, label())
            return self.wrap(rows) * float(count)
        return float(count)


def _widened(dtype: np.dtype) -> np.dtype:
    """The dtype of a sum or product by the standard's rule."""
    return dtype if dtype.kind == "f" else np.dtype("uint64" if dtype.kind == "u" else "int64")


def sorting_network(count: int) -> Iterator[np.ndarray]:
    """For each stage of Batcher's odd-even merge sort, the partner of every index; its own where it has none.

    The smaller entry goes to the first of two partners. Knuth, The Art of Computer Programming, vol. 3, alg. 5.2.2 M.
    """
    half = (1 << max(count - 1, 0).bit_length()) >> 1
    step = half
    while step:
        merged, start, distance = half, 0, step
        while True:
            partners = np.arange(count)
            first = np.flatnonzero((partners[: max(count - distance, 0)] & step) == start)
            partners[first], partners[first + distance] = first + distance, first
            yield partners
            if merged == step:
                break
            distance, merged, start = merged - step, merged // 2, step
        step //= 2
