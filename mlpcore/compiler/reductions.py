"""The functions of the traced namespace that reduce axes."""

import math
from typing import Any

import numpy as np

from mlpcore.compiler.graph import N, Untraceable, label
from mlpcore.compiler.shaping import normal_axes

SORTED = 16  # entries: their order is found by as many comparisons as there are pairs of them


class Reductions:
    """The part of the namespace whose results are made of many entries."""

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
    stack: Any
    unstack: Any

    def reduction(self, name: str, x: Any, axis: Any = None, keepdims: bool = False, dtype: Any = None) -> Any:
        """``name`` over the axes, all of them by default."""
        x, axes = self.asarray(x), normal_axes(axis, x.ndim)
        keep = tuple(1 if i in axes else d for i, d in enumerate(x.shape))
        node = self.graph.add(name, "reduce", (x.node,), keep, x.dtype if dtype is None else dtype, label(), axes=axes)
        made = self.wrap(node)
        return made if keepdims else self.squeeze(made, axes)

    def sum(self, x: Any, /, *, axis: Any = None, dtype: Any = None, keepdims: bool = False) -> Any:
        """The sum; integers are added as int64, as the standard has it."""
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
        """The place of the first largest entry along one axis."""
        if axis is None:
            raise Untraceable("argmax over all axes at once")
        last = self.moveaxis(x, axis, -1)
        places = self.reduction("argmax", last, -1, True, np.dtype("int64"))
        return self.moveaxis(places, -1, axis) if keepdims else self.squeeze(places, -1)

    def sort(self, x: Any, /, *, axis: int = -1, descending: bool = False, stable: bool = True) -> Any:
        """The entries along an axis in order, NaN last; of at most `SORTED`, for neighbours change places in turn."""
        parts = list(self.unstack(x, axis=axis))
        if len(parts) > SORTED:
            raise Untraceable(f"sort of {len(parts)} entries, more than {SORTED}")
        for end in range(len(parts) - 1, 0, -1):
            for i in range(end):
                one, next_one = parts[i], parts[i + 1]
                swap = self.less(next_one, one)
                swap = swap | self.isnan(one) if x.dtype.kind == "f" else swap
                parts[i : i + 2] = self.where(swap, next_one, one), self.where(swap, one, next_one)
        return self.stack(parts[::-1] if descending else parts, axis=axis) if len(parts) > 1 else x

    def mean(self, x: Any, /, *, axis: Any = None, keepdims: bool = False) -> Any:
        """The sum over the number of entries."""
        total = self.sum(x, axis=axis, keepdims=keepdims)
        return total / self._count(x, axis)

    def var(self, x: Any, /, *, axis: Any = None, correction: float = 0, keepdims: bool = False) -> Any:
        """The mean square of the distance to the mean."""
        apart = x - self.mean(x, axis=axis, keepdims=True)
        count = self._count(x, axis)
        if correction:
            count = max(count - correction, 0.0) if isinstance(count, float) else self.maximum(count - correction, 0.0)
        return self.sum(apart * apart, axis=axis, keepdims=keepdims) / count

    def std(self, x: Any, /, *, axis: Any = None, correction: float = 0, keepdims: bool = False) -> Any:
        """The root of `var`."""
        return self.sqrt(self.var(x, axis=axis, correction=correction, keepdims=keepdims))

    def _count(self, x: Any, axis: Any) -> Any:
        dims = [x.shape[i] for i in normal_axes(axis, x.ndim)]
        count: Any = math.prod(d for d in dims if d is not N)
        if any(d is N for d in dims):
            rows = self.graph.add("rows", "elementwise", (), (), x.dtype, label())
            return self.wrap(rows) * float(count)
        return float(count)


def _widened(dtype: np.dtype) -> np.dtype:
    """The dtype in which the standard adds and multiplies entries."""
    return dtype if dtype.kind == "f" else np.dtype("uint64" if dtype.kind == "u" else "int64")
