"""The memory in which a bound program works: one block, for arrays that live on, for tiles and for partial results."""

from collections.abc import Sequence
from itertools import accumulate

import numpy as np

from mlpcore.compiler.graph import Node
from mlpcore.compiler.memory import aligned, arena
from mlpcore.compiler.places import size
from mlpcore.compiler.pointers import padded
from mlpcore.compiler.storage import Storage


class Workspace:
    """``pieces`` of the arrays ``own``; by phase, ``strides`` from one tile to the next, and where ``sums`` lie.

    A tile has memory for its own rows of what only its phase uses, so that all tiles together take what the whole
    would. The partial results of a phase are the bytes ``sums`` for every tile but the first; with the gradients among
    them, that is their size times the number of tiles less one. Rows are in at most so many ``tiles``, of ``each`` rows
    at most.
    """

    def __init__(
        self, storage: Storage, sums: Sequence[int], own: Sequence[Node], rows: int, each: int, tiles: int
    ) -> None:
        phases = storage.phases
        ends = list(accumulate(len(phase.items) for phase in phases))
        self.strides = np.zeros(len(phases), np.int64)
        within: dict[Node, int] = {}  # offsets in the memory of a tile
        spans: list[tuple[int, int, int]] = []  # in the block, at first of every phase: its tiles, its partial results
        for number, phase in enumerate(phases):
            here = [whole for whole in own if storage.local.get(whole) == number]
            counts = [size(whole.shape).at(each) * whole.dtype.itemsize for whole in here]
            places = [storage.touched[whole] for whole in here]
            found, length = arena([(min(p), max(p), count) for p, count in zip(places, counts, strict=True)])
            within |= dict(zip(here, found, strict=True))
            self.strides[number] = padded(length)
            first, last, count = ends[number] - len(phase.items), ends[number] - 1, phase.tiles(tiles)
            spans += [(first, last, padded(length) * count), (first, last, sums[number] * (count - 1))]
        shared = [whole for whole in own if whole not in within]
        for whole in shared:
            items = _awake(storage, whole, ends)
            spans.append((items[0], items[1], size(whole.shape).at(rows) * whole.dtype.itemsize))
        offsets, self.length = arena(spans)
        self._block = aligned(self.length)
        start = self._block.ctypes.data
        self.sums = np.array([start + offset for offset in offsets[1 : 2 * len(phases) : 2]], np.uintp)
        at = {whole: offsets[2 * storage.local[whole]] + offset for whole, offset in within.items()}
        at |= dict(zip(shared, offsets[2 * len(phases) :], strict=True))
        self.pieces: dict[Node, np.ndarray] = {}
        for whole in own:
            count = size(whole.shape).at(each if whole in within else rows) * whole.dtype.itemsize
            self.pieces[whole] = self._block[at[whole] : at[whole] + count].view(whole.dtype)


def _awake(storage: Storage, whole: Node, ends: Sequence[int]) -> tuple[int, int]:
    """The first and the last item during which an array must be kept: in tiles, all items of a phase go on at once."""
    if whole in {storage.whole(one)[0] for one in storage.kept}:
        return 0, ends[-1] if ends else 0
    items, first = storage.touched[whole], 0
    begin, end = min(items), max(items)
    for phase, behind in zip(storage.phases, ends, strict=True):
        if phase.length is not None:
            begin = first if first <= begin < behind else begin
            end = behind - 1 if first <= end < behind else end
        first = behind
    return begin, end
