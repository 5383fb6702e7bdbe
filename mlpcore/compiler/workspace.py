"""The memory of a bound program: one block for its temporary arrays, those of tiles, and partial results."""

from collections.abc import Sequence
from itertools import accumulate

import numpy as np

from mlpcore.compiler.graph import Node
from mlpcore.compiler.memory import aligned_bytes, arena, temporary_bytes
from mlpcore.compiler.places import size
from mlpcore.compiler.pointers import padded
from mlpcore.compiler.storage import Storage


class Workspace:
    """The memory of the nodes ``owners``, and their ``arrays``.

    Rows are cut into at most ``tiles`` tiles of at most ``tile_rows`` rows; with ``fewer`` there may be fewer rows.
    An array that only one phase uses has a part for every tile, with the rows of that tile, so that all tiles together
    take as much memory as the whole array. The argument ``sums`` has the bytes of a tile's partial results for each
    phase; every tile but the first needs them. The attributes ``strides`` (bytes between the memory of two tiles) and
    ``sums`` (the address of the partial results) have one entry for each phase.
    """

    def __init__(
        self,
        storage: Storage,
        sums: Sequence[int],
        owners: Sequence[Node],
        rows: int,
        tile_rows: int,
        tiles: int,
        fewer: bool,
    ) -> None:
        phases = storage.phases
        ends = list(accumulate(len(phase.items) for phase in phases))
        self.strides = np.zeros(len(phases), np.int64)
        within: dict[Node, int] = {}  # offsets in the memory of a tile
        spans: list[tuple[int, int, int]] = []  # first two for each phase: its tiles, its partial results
        for number, phase in enumerate(phases):
            local = [owner for owner in owners if storage.local.get(owner) == number]
            counts = [size(owner.shape).at(tile_rows) * owner.dtype.itemsize for owner in local]
            items = [storage.touched[owner] for owner in local]
            local_offsets, length = arena([(min(i), max(i), count) for i, count in zip(items, counts, strict=True)])
            within |= dict(zip(local, local_offsets, strict=True))
            self.strides[number] = padded(length)
            first, count = ends[number] - len(phase.items), phase.tiles(tiles)
            spans += [(first, first, padded(length) * count), (first, first, sums[number] * (count - 1))]
        shared = [owner for owner in owners if owner not in within]
        for owner in shared:
            first, last = _lifetime(storage, owner, ends)
            spans.append((first, last, size(owner.shape).at(rows) * owner.dtype.itemsize))
        offsets, self.length = arena(spans)
        # Memory for fewer rows than there may be is not all written to.
        self._block = aligned_bytes(self.length) if fewer else temporary_bytes(self.length)
        start = self._block.ctypes.data
        self.sums = np.array([start + offset for offset in offsets[1 : 2 * len(phases) : 2]], np.uintp)
        offset_of = {owner: offsets[2 * storage.local[owner]] + offset for owner, offset in within.items()}
        offset_of |= dict(zip(shared, offsets[2 * len(phases) :], strict=True))
        self.arrays: dict[Node, np.ndarray] = {}
        for owner in owners:
            count = size(owner.shape).at(tile_rows if owner in within else rows) * owner.dtype.itemsize
            self.arrays[owner] = self._block[offset_of[owner] : offset_of[owner] + count].view(owner.dtype)


def _lifetime(storage: Storage, owner: Node, ends: Sequence[int]) -> tuple[int, int]:
    """The first and the last item during which an array is needed.

    With tiles, the items of a phase run at once: all arrays of the phase are in use from its first item on, so that no
    two of them share memory, whatever their last items are.
    """
    if owner in {storage.owner_of(node)[0] for node in storage.output_roots}:
        return 0, ends[-1]
    start, last = min(storage.touched[owner]), max(storage.touched[owner])
    phase, end = next((phase, end) for phase, end in zip(storage.phases, ends, strict=True) if start < end)
    return (start if phase.length is None else end - len(phase.items)), last
