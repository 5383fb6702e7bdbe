"""A flat vector kept as its leaves, which saves copies of gradients into the vector and of weights out of it.

XLA compiles a concatenation or slice of a large vector to a pass over memory, and the update of one leaf would wait for
the gradients of all. A `SplitVector` replaces the vector (..., P) while a step is traced. A step does elementwise
operations on vectors, reductions over the last axis, and slices between leaves; all of these work on the parts. Any
other operation is a TypeError, after which the step is traced with whole vectors.
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

ELEMENTWISE = {"astype", "clip", "ones_like", "where", "zeros_like"}  # and NumPy's elementwise ufuncs
REDUCTIONS = {"sum": "add", "max": "maximum", "min": "minimum", "all": "logical_and", "any": "logical_or"}


class SplitVector(NDArrayOperatorsMixin):
    """The ``parts`` of a vector, each (..., p), and their ``slots`` in a `Layout`. Padding is left out.

    Operations combine it with split vectors of the same slots, numbers, and arrays of shape () or (..., 1).
    """

    def __init__(self, parts: tuple[Array, ...], slots: tuple[Slot, ...]) -> None:
        self.parts, self.slots = parts, slots

    @property
    def dtype(self) -> Any:
        """The dtype of the parts."""
        return self.parts[0].dtype

    @property
    def shape(self) -> tuple[int, ...]:
        """(..., P), P without the padding."""
        return (*self.parts[0].shape[:-1], sum(part.shape[-1] for part in self.parts))

    def __array_ufunc__(self, ufunc: np.ufunc, method: str, *args: Any, **options: Any) -> "SplitVector":
        """Python's operators: NumPy's mixin calls a ufunc for each, of which only the name is used."""
        return _call(ufunc.__name__ if method == "__call__" else method, *args, **options)

    def __getitem__(self, key: tuple) -> Any:
        """``[..., start:stop]``: the part with these bounds, or the parts within as a split vector; none may be cut."""
        start, stop = key[-1].start or 0, key[-1].stop
        inside = [i for i, slot in enumerate(self.slots) if start <= slot.start and (stop is None or slot.stop <= stop)]
        straddled = [slot for slot in self.slots if any(slot.start < end < slot.stop for end in (start, stop or 0))]
        if straddled or not inside:
            raise TypeError(f"a split vector cannot be sliced by {key}")
        parts, slots = (tuple(entries[i] for i in inside) for entries in (self.parts, self.slots))
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
        parts, slots = (tuple(entry for arg in split for entry in getattr(arg, field)) for field in ("parts", "slots"))
        return SplitVector(parts, slots)
    if name in REDUCTIONS and options.get("axis") == -1 and len(args) == 1:
        return reduce(getattr(xp, REDUCTIONS[name]), map(function, split[0].parts))
    fits = [arg.slots == split[0].slots if isinstance(arg, SplitVector) else _is_scalar(arg) for arg in args]
    if not all(fits) or not (name in ELEMENTWISE or getattr(getattr(np, name, None), "signature", "") is None):
        raise TypeError(f"{name} of a split vector, or of one and an array that is not split like it")
    rows = [arg.parts if isinstance(arg, SplitVector) else [arg] * len(split[0].parts) for arg in args]
    return SplitVector(tuple(function(*row) for row in zip(*rows, strict=True)), split[0].slots)


def _is_scalar(arg: Any) -> bool:
    """Whether the argument is a number or an array of shape () or (..., 1)."""
    return getattr(arg, "shape", ())[-1:] in ((), (1,))


def flat(layout: Layout, tree: Params) -> SplitVector:
    """The leaves of a parameter or gradient tree as a split vector, in place of `Layout.flat`."""
    named = dict(named_leaves(tree))
    slots = tuple(layout.slots.values())

    def part(leaf: Array, slot: Slot) -> Array:
        stack = leaf.shape[: leaf.ndim - len(slot.shape)]
        return namespace(leaf).reshape(leaf, (*stack, slot.stop - slot.start))

    return SplitVector(tuple(part(named[name], slot) for name, slot in layout.slots.items()), slots)


def split(layout: Layout, vector: Array) -> SplitVector:
    """A whole vector as a split vector of its slices."""
    slots = tuple(layout.slots.values())
    return SplitVector(tuple(vector[..., slot.start : slot.stop] for slot in slots), slots)


def map_vectors(function: Callable[[Any], Any], layout: Layout, state: State) -> State:
    """The state with ``function(vector)`` in the place of each of its vectors, whole or split.

    Running statistics are left alone, even if one is as long as the vector.
    """

    def change(leaf: Any) -> Any:
        is_vector = isinstance(leaf, SplitVector) or leaf.shape[-1:] == (layout.size,)
        return function(leaf) if is_vector else leaf

    fields = {"params": state.params, "optimizer": state.optimizer, "average": state.average}
    return state._replace(**tree_map(change, fields))


_NAMESPACE = _Namespace()
namespaces.register(SplitVector, _NAMESPACE)
