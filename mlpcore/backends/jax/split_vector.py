"""A flat vector split into its leaves: gradients stay where products leave them, weights are no copies.

A compiler of whole programs (XLA) pays a pass over memory for every concatenation and slice of a large vector, and the
update of one leaf would wait for the gradients of all. A `SplitVector` stands in for the vector (..., P) while a step
is traced: what a step does with vectors is elementwise, or a sum or an extreme over the last axis, or a slice between
leaves, and all of these work on the parts. Anything else is a TypeError, upon which the step is traced with vectors.
"""

from collections.abc import Callable
from functools import partial, reduce
from typing import Any

import numpy as np
from numpy.lib.mixins import NDArrayOperatorsMixin

from mlpcore import namespace as namespaces
from mlpcore.namespace import namespace
from mlpcore.trees import Layout, Slot, named_leaves, tree_map
from mlpcore.typing import Array, Params, State

ELEMENTWISE = {"astype", "clip", "ones_like", "where", "zeros_like"}  # and what NumPy has as a ufunc of single numbers
REDUCTIONS = {"sum": "add", "max": "maximum", "min": "minimum", "all": "logical_and", "any": "logical_or"}


class SplitVector(NDArrayOperatorsMixin):
    """The ``parts`` of a vector, each (..., p), and the ``slots`` of a `Layout` that they fill; padding is left out.

    It meets split vectors of the same slots, numbers, and arrays without an axis along the vector: () or (..., 1).
    """

    def __init__(self, parts: tuple[Array, ...], slots: tuple[Slot, ...]) -> None:
        self.parts, self.slots = parts, slots

    @property
    def dtype(self) -> Any:
        """That of the parts."""
        return self.parts[0].dtype

    @property
    def shape(self) -> tuple[int, ...]:
        """(..., P), P without the padding."""
        return (*self.parts[0].shape[:-1], sum(part.shape[-1] for part in self.parts))

    def __array_ufunc__(self, ufunc: np.ufunc, method: str, *args: Any, **options: Any) -> "SplitVector":
        """The operators: NumPy's mixin makes a ufunc of each, of which the name is taken."""
        return _call(ufunc.__name__ if method == "__call__" else method, *args, **options)

    def __getitem__(self, key: tuple) -> Any:
        """``[..., start:stop]`` between leaves: the part that has these bounds, or a split vector of those inside."""
        start, stop = key[-1].start or 0, key[-1].stop
        inside = [i for i, slot in enumerate(self.slots) if start <= slot.start and (stop is None or slot.stop <= stop)]
        straddled = [slot for slot in self.slots if any(slot.start < end < slot.stop for end in (start, stop or 0))]
        if straddled or not inside:
            raise TypeError(f"a split vector is not sliced by {key}")
        parts, slots = (tuple(every[i] for i in inside) for every in (self.parts, self.slots))
        whole_leaf = len(slots) == 1 and (slots[0].start, slots[0].stop) == (start, stop)
        return parts[0] if whole_leaf else SplitVector(parts, slots)


class _Namespace:
    """The functions of the Array API on split vectors; on arrays alone they are those of the arrays' library."""

    def __getattr__(self, name: str) -> Callable:
        return partial(_call, name)


def _call(name: str, *args: Any, **options: Any) -> Any:
    split = [arg for arg in (args[0] if name == "concat" else args) if isinstance(arg, SplitVector)]
    if not split:
        xp = namespace(next(arg for arg in args if hasattr(arg, "shape")))
        return getattr(xp, name)(*args, **options)
    xp = namespace(split[0].parts[0])
    function = partial(getattr(xp, name), **options)
    if name == "concat":
        parts, slots = (tuple(one for arg in split for one in getattr(arg, field)) for field in ("parts", "slots"))
        return SplitVector(parts, slots)
    if name in REDUCTIONS and options.get("axis") == -1 and len(args) == 1:
        return reduce(getattr(xp, REDUCTIONS[name]), map(function, split[0].parts))
    fits = [arg.slots == split[0].slots if isinstance(arg, SplitVector) else _is_scalar(arg) for arg in args]
    if not all(fits) or not (name in ELEMENTWISE or getattr(getattr(np, name, None), "signature", "") is None):
        raise TypeError(f"{name} of a split vector, or of one and an array that is not split like it")
    rows = [arg.parts if isinstance(arg, SplitVector) else [arg] * len(split[0].parts) for arg in args]
    return SplitVector(tuple(function(*row) for row in zip(*rows, strict=True)), split[0].slots)


def _is_scalar(arg: Any) -> bool:
    """Whether the same number, or row of numbers, goes with every entry of a vector."""
    return getattr(arg, "shape", ())[-1:] in ((), (1,))


def flat(layout: Layout, tree: Params) -> SplitVector:
    """The leaves of a parameter or gradient tree, as `Layout.flat` puts them into a vector."""
    named = dict(named_leaves(tree))
    slots = tuple(layout.slots.values())

    def part(leaf: Array, slot: Slot) -> Array:
        stack = leaf.shape[: leaf.ndim - len(slot.shape)]
        return namespace(leaf).reshape(leaf, (*stack, slot.stop - slot.start))

    return SplitVector(tuple(part(named[name], slot) for name, slot in layout.slots.items()), slots)


def split(layout: Layout, vector: Array) -> SplitVector:
    """The vector, split."""
    slots = tuple(layout.slots.values())
    return SplitVector(tuple(vector[..., slot.start : slot.stop] for slot in slots), slots)


def map_vectors(function: Callable[[Any], Any], layout: Layout, state: State) -> State:
    """The state with ``function(vector)`` in the place of each of its vectors, whole or split.

    A running statistic never is one, whatever its length.
    """

    def change(leaf: Any) -> Any:
        is_vector = isinstance(leaf, SplitVector) or leaf.shape[-1:] == (layout.size,)
        return function(leaf) if is_vector else leaf

    fields = {"params": state.params, "optimizer": state.optimizer, "average": state.average}
    return state._replace(**tree_map(change, fields))


_NAMESPACE = _Namespace()
namespaces.register(SplitVector, _NAMESPACE)
