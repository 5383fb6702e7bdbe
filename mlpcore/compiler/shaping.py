"""Functions of the traced namespace that do no arithmetic: views, concatenation, gathers, creation."""

import math
from collections.abc import Sequence
from types import EllipsisType
from typing import Any

import numpy as np

from mlpcore.compiler.graph import Dim, N, Node, Shape, Untraceable, has_rows, long, same_shape


def normal_axis(axis: int, ndim: int) -> int:
    """The axis counted from the front; IndexError if there is no such axis."""
    if not -ndim <= axis < ndim:
        raise IndexError(f"axis {axis} of an array with {ndim} axes")
    return axis % ndim


def normal_axes(axis: Any, ndim: int) -> tuple[int, ...]:
    """One axis, several, or all (None), counted from the front and sorted."""
    axes = range(ndim) if axis is None else axis if isinstance(axis, tuple) else (axis,)
    return tuple(sorted(normal_axis(index, ndim) for index in axes))


def broadcast(shapes: Sequence[Shape]) -> Shape:
    """The broadcast shape; ValueError where two lengths differ and neither is 1."""
    ndim = max(map(len, shapes))
    result: list[Dim] = []
    for column in zip(*[(1,) * (ndim - len(shape)) + tuple(shape) for shape in shapes], strict=True):
        lengths = {id(dim) if dim is N else dim: dim for dim in column if long(dim)}
        if len(lengths) > 1:
            if has_rows(lengths.values()):  # they broadcast for a single number of rows only
                N.refuse()
            raise ValueError(f"shapes {', '.join(map(str, shapes))} do not broadcast")
        result.append(next(iter(lengths.values())) if lengths else 1)
    return tuple(result)


class Shaping:
    """The shape functions of the namespace."""

    graph: Any
    wrap: Any
    asarray: Any

    def _view(self, name: str, x: Any, shape: Shape, **words: Any) -> Any:
        return self.wrap(self.graph.add(name, "view", (self.asarray(x).node,), tuple(shape), x.dtype, **words))

    def reshape(self, x: Any, /, shape: Sequence[Dim], *, copy: Any = None) -> Any:
        """x in another shape, the entries in the same order. One length may be -1."""
        new_shape = list(shape) if isinstance(shape, Sequence) else [shape]
        old_dims, new_dims = ([dim for dim in dims if dim is not N] for dims in (x.shape, new_shape))
        if -1 in new_dims:
            known_size = math.prod(d for d in new_dims if d != -1)
            missing: Dim = math.prod(old_dims) // known_size if known_size else 0
            if has_rows(x.shape) and not has_rows(new_shape):
                missing = N if missing == 1 else N.refuse()
            new_shape = [missing if dim is not N and dim == -1 else dim for dim in new_shape]
            new_dims = [dim for dim in new_shape if dim is not N]
        if has_rows(x.shape) != has_rows(new_shape) or math.prod(old_dims) != math.prod(new_dims):
            if has_rows(x.shape) or has_rows(new_shape):
                N.refuse()
            raise ValueError(f"an array of shape {x.shape} cannot have the shape {tuple(new_shape)}")
        return x if same_shape(tuple(new_shape), x.shape) else self._view("reshape", x, tuple(new_shape))

    def expand_dims(self, x: Any, /, *, axis: int = 0) -> Any:
        """x with a new axis of length 1."""
        shape = list(x.shape)
        shape.insert(normal_axis(axis, x.ndim + 1), 1)
        return self._view("reshape", x, tuple(shape))

    def squeeze(self, x: Any, /, axis: int | tuple[int, ...]) -> Any:
        """x without these axes, which must have length 1."""
        axes = normal_axes(axis, x.ndim)
        if any(long(x.shape[i]) for i in axes):
            raise ValueError(f"axes {list(axes)} of the shape {x.shape} are not all of length 1")
        if not axes:
            return x
        return self._view("reshape", x, tuple(dim for i, dim in enumerate(x.shape) if i not in axes))

    def permute_dims(self, x: Any, /, axes: tuple[int, ...]) -> Any:
        """x with its axes in another order."""
        order = tuple(normal_axis(axis, x.ndim) for axis in axes)
        if order == tuple(range(x.ndim)):
            return x
        return self._view("permute_dims", x, tuple(x.shape[i] for i in order), axes=order)

    def matrix_transpose(self, x: Any, /) -> Any:
        """x with its last two axes exchanged."""
        return x.mT

    def moveaxis(self, x: Any, source: int, destination: int, /) -> Any:
        """x with one axis moved to another position."""
        order = [i for i in range(x.ndim) if i != normal_axis(source, x.ndim)]
        order.insert(normal_axis(destination, x.ndim), normal_axis(source, x.ndim))
        return self.permute_dims(x, tuple(order))

    def broadcast_to(self, x: Any, /, shape: Sequence[Dim]) -> Any:
        """x repeated to a larger shape, by the broadcasting rules."""
        if not same_shape(broadcast([x.shape, tuple(shape)]), tuple(shape)):
            raise ValueError(f"an array of shape {x.shape} does not broadcast to {tuple(shape)}")
        return x if same_shape(tuple(shape), x.shape) else self._view("broadcast_to", x, tuple(shape))

    def broadcast_arrays(self, *arrays: Any) -> list[Any]:
        """The arrays broadcast to their common shape."""
        shape = broadcast([array.shape for array in arrays])
        return [self.broadcast_to(array, shape) for array in arrays]

    def getitem(self, x: Any, key: tuple) -> Any:
        """x[key]: basic slicing, or a gather of rows if the key is one array of integers."""
        if len(key) == 1 and hasattr(key[0], "node") and key[0].dtype.kind in "iu":
            return self.take(x, key[0], axis=0)
        if not all(index is None or isinstance(index, (int, slice, EllipsisType)) for index in key):
            raise Untraceable("an index that is neither a number nor a slice")
        indexed = sum(index is not None and index is not Ellipsis for index in key)
        if Ellipsis not in key:
            key = (*key, Ellipsis)
        ellipsis = key.index(Ellipsis)
        full = (*key[:ellipsis], *[slice(None)] * (x.ndim - indexed), *key[ellipsis + 1 :])
        ranges, shape = [], []  # (start, count, step) for every axis of x
        axis = 0
        for index in full:
            if index is None:
                shape.append(1)
                continue
            dim = x.shape[axis]
            axis += 1
            if isinstance(index, slice) and index == slice(None):
                ranges.append((0, dim, 1))
                shape.append(dim)
            elif dim is N:
                N.refuse()
            elif isinstance(index, slice):
                start, stop, step = index.indices(dim)
                count = len(range(start, stop, step))
                ranges.append((start, count, step))
                shape.append(count)
            else:
                ranges.append((normal_axis(index, dim), 1, 1))
        lengths = tuple(count for _, count, _ in ranges)
        result = x
        if not same_shape(lengths, x.shape) or any((start, step) != (0, 1) for start, _, step in ranges):
            starts, steps = (tuple(entry[i] for entry in ranges) for i in (0, 2))
            result = self._view("slice", x, lengths, starts=starts, steps=steps)
        return result if same_shape(result.shape, tuple(shape)) else self._view("reshape", result, tuple(shape))

    def flip(self, x: Any, /, *, axis: Any = None) -> Any:
        """x with the entries reversed along the axes."""
        flipped = normal_axes(axis, x.ndim)
        return x[tuple(slice(None, None, -1) if i in flipped else slice(None) for i in range(x.ndim))]

    def take(self, x: Any, indices: Any, /, *, axis: int | None = None) -> Any:
        """The entries at these indices along an axis; indices out of range are undefined."""
        if axis is None and x.ndim != 1:
            raise Untraceable("take without an axis")
        axis = normal_axis(axis or 0, x.ndim)
        x, indices = self.asarray(x), self.asarray(indices)
        shape = (*x.shape[:axis], *indices.shape, *x.shape[axis + 1 :])
        return self.wrap(self.graph.add("take", "take", (x.node, indices.node), shape, x.dtype, axis=axis))

    def concat(self, arrays: Sequence[Any], /, *, axis: int | None = 0) -> Any:
        """The arrays concatenated along an axis; None flattens them first."""
        if axis is None:
            return self.concat([self.reshape(array, (-1,)) for array in arrays], axis=0)
        arrays = [self.asarray(array) for array in arrays]
        axis = normal_axis(axis, arrays[0].ndim)
        dims = [array.shape[axis] for array in arrays]
        if has_rows(dims):
            N.refuse()
        other_dims = {array.shape[:axis] + array.shape[axis + 1 :] for array in arrays}
        dtypes = {array.dtype for array in arrays}
        if len(other_dims) > 1 or len(dtypes) > 1:
            raise Untraceable(f"a concatenation of {', '.join(f'{array.dtype} {array.shape}' for array in arrays)}")
        if len(arrays) == 1:
            return arrays[0]
        shape = (*arrays[0].shape[:axis], sum(dims), *arrays[0].shape[axis + 1 :])
        nodes = [array.node for array in arrays]
        return self.wrap(self.graph.add("concat", "concat", nodes, shape, arrays[0].dtype, axis=axis))

    def stack(self, arrays: Sequence[Any], /, *, axis: int = 0) -> Any:
        """The arrays stacked along a new axis."""
        return self.concat([self.expand_dims(array, axis=axis) for array in arrays], axis=axis)

    def unstack(self, x: Any, /, *, axis: int = 0) -> tuple[Any, ...]:
        """The entries along an axis as separate arrays."""
        axis = normal_axis(axis, x.ndim)
        return tuple(x[(*[slice(None)] * axis, i)] for i in range(x.shape[axis]))

    def full(self, shape: Any, fill_value: Any, *, dtype: Any = None, device: Any = None) -> Any:
        """An array with one number in every entry."""
        if dtype is None:
            dtype = np.asarray(fill_value).dtype
        value = np.asarray(fill_value, dtype=dtype)
        node: Node = self.graph.add("number", "constant", (), (), value.dtype, value=value.item())
        return self.broadcast_to(self.wrap(node), shape if isinstance(shape, Sequence) else (shape,))

    def zeros(self, shape: Any, *, dtype: Any = None, device: Any = None) -> Any:
        """An array of zeros, float64 by default."""
        return self.full(shape, 0, dtype=dtype or "float64")

    def ones(self, shape: Any, *, dtype: Any = None, device: Any = None) -> Any:
        """An array of ones, float64 by default."""
        return self.full(shape, 1, dtype=dtype or "float64")

    empty = zeros

    def full_like(self, x: Any, /, fill_value: Any, *, dtype: Any = None, device: Any = None) -> Any:
        """An array with one number in every entry, in the shape and dtype of x."""
        return self.full(x.shape, fill_value, dtype=dtype or x.dtype)

    def zeros_like(self, x: Any, /, *, dtype: Any = None, device: Any = None) -> Any:
        """An array of zeros in the shape and dtype of x."""
        return self.full_like(x, 0, dtype=dtype)

    def ones_like(self, x: Any, /, *, dtype: Any = None, device: Any = None) -> Any:
        """An array of ones in the shape and dtype of x."""
        return self.full_like(x, 1, dtype=dtype)

    empty_like = zeros_like

    def arange(self, start: Any, /, stop: Any = None, step: Any = 1, *, dtype: Any = None, device: Any = None) -> Any:
        """Evenly spaced numbers from start to before stop; their count must be known while tracing."""
        if start is N or stop is N:
            N.refuse()
        first, end = (0, start) if stop is None else (start, stop)
        kind = dtype or ("int64" if all(isinstance(v, int) for v in (first, end, step)) else "float64")
        return self.asarray(np.arange(first, end, step, dtype=kind))

    def eye(
        self, n_rows: int, n_cols: int | None = None, /, *, k: int = 0, dtype: Any = None, device: Any = None
    ) -> Any:
        """A matrix with ones on a diagonal, float64 by default."""
        return self.asarray(np.eye(n_rows, n_cols, k, dtype=dtype or "float64"))

    def linspace(
        self, start: float, stop: float, /, num: int, *, dtype: Any = None, device: Any = None, endpoint: bool = True
    ) -> Any:
        """``num`` evenly spaced numbers, float64 by default."""
        return self.asarray(np.linspace(start, stop, num, endpoint, dtype=dtype or "float64"))
