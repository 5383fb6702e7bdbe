"""The memory of a bound device program, for one member or several."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from mlpcore.compiler.cuda.device import Device
from mlpcore.compiler.cuda.program import DeviceProgram
from mlpcore.compiler.graph import Node, concrete
from mlpcore.compiler.memory import ALIGNMENT, arena
from mlpcore.compiler.places import Place, size
from mlpcore.typing import Array


class DeviceMemory:
    """The arrays of the programs ``members`` for batches of ``rows`` rows, of which ``arrays`` are the inputs.

    An array is (members, entries), or a vector if there is one member or all share it. Those of the owners ``moving``
    are passed with each call.
    """

    def __init__(
        self,
        members: Sequence[DeviceProgram],
        rows: int,
        arrays: dict[Node, Array],
        device: Device,
        moving: Sequence[Node],
    ) -> None:
        self.members, self.rows, self.device = members, rows, device
        self.program, self.storage = members[0], members[0].storage
        self.arrays = dict(arrays)
        self.moving = {self.owner(node) for node in moving}
        self._allocate()
        self.numbers = self._put([program.numbers(self.storage.numbers) for program in members])

    def owner(self, node: Node) -> Node:
        """The node whose array holds the entries of a node."""
        return self.storage.owner_of(self.storage.places[node].root)[0]

    def _allocate(self) -> None:
        """Allocate one block for all arrays that are not inputs; memory is reused by lifetimes."""
        storage = self.storage
        # A concatenation keeps its memory, as its constant operands are copied only once.
        concatenations = {i for i in self.program.schedule.items if isinstance(i, Node) and i.kind == "concat"}
        persistent = {storage.owner_of(node)[0] for node in (*storage.output_roots, *concatenations)}
        owners = {storage.owner_of(root)[0] for root in storage.stored} - storage.in_blocks
        last = len(self.program.schedule.items)
        spans, owners_in_block = [], []
        for owner in sorted(owners - set(self.arrays), key=lambda node: node.number):
            if owner.kind == "constant":
                self.arrays[owner] = self._put([program.constant(owner) for program in self.members])
            elif owner not in self.moving:
                count = max(1, size(owner.shape).at(self.rows)) * owner.dtype.itemsize
                first_item, last_item = storage.touched.get(owner, (0, last))
                spans.append((0, last, count) if owner in persistent else (first_item, last_item, count))
                owners_in_block.append(owner)
        offsets, total = arena(spans)
        block = self.empty(-(-total // ALIGNMENT) * ALIGNMENT + ALIGNMENT, np.dtype(np.uint8))
        for owner, offset, (_, _, count) in zip(owners_in_block, offsets, spans, strict=True):
            start, entries = offset // owner.dtype.itemsize, count // owner.dtype.itemsize
            self.arrays[owner] = block.view(owner.dtype)[..., start : start + entries]

    def empty(self, count: int, dtype: Any) -> Array:
        """Memory for ``count`` entries of each member."""
        members = len(self.members)
        memory = self.device.empty(members * count, dtype)
        return memory if members == 1 else memory.reshape(members, count)

    def _put(self, values: Sequence[np.ndarray]) -> Array:
        """The vectors of all members on the device, one for all if they are equal."""
        alike = all(np.array_equal(value, values[0]) for value in values)
        return self.device.put(values[0] if alike else np.stack(values))

    def moves(self, *places: Place) -> bool:
        """Whether a place lies in an array that is passed with each call."""
        return any(self.storage.owner_of(place.root)[0] in self.moving for place in places)

    def view(self, place: Place, shape: tuple, moved: dict[Node, Array] | None = None) -> Array:
        """A view of the entries at a place, in the arrays ``moved`` for moving nodes; with several members of all."""
        owner, start = self.storage.owner_of(place.root)
        array = (moved or {}).get(owner, self.arrays.get(owner))
        assert array is not None
        lengths = concrete(shape, self.rows)
        strides = [stride.at(self.rows) for stride in place.strides]
        for axis in reversed(range(len(lengths))):  # axes of length 1 get the strides of a packed array
            if lengths[axis] == 1:
                strides[axis] = strides[axis + 1] * lengths[axis + 1] if axis + 1 < len(lengths) else 1
        if len(self.members) > 1:
            lengths, strides = (len(self.members), *lengths), [to_next(array), *strides]
        first = array if array.ndim == 1 else array[0]
        return self.device.view(first, start.plus(place.offset).at(self.rows), lengths, tuple(strides))


def to_next(array: Array) -> int:
    """The distance in entries from a member's part of an array to that of the next; 0 if all have the same."""
    return 0 if array.ndim == 1 or array.shape[0] == 1 else array.strides[0] // array.itemsize
