"""Neighbouring calls that treat every row by itself, walked together in blocks of rows that stay in the cache."""

from collections import defaultdict
from collections.abc import Callable
from typing import Any

import numpy as np

from mlpcore.backends.replay.calls import Call, calls_of
from mlpcore.backends.replay.recording import Recorded
from mlpcore.backends.replay.workers import run_both

BLOCK = 64 * 1024  # entries of the widest operand in a block: some fit a second-level cache, and a call outlasts a lock
WORTH_A_THREAD = 128 * 1024  # entries times calls in a group, below which a second thread costs more than it saves


def is_local(node: Recorded) -> bool:
    """Whether the node treats the first axis entry by entry: elementwise, or a reduction of the rows of a table."""
    if node.ndim not in (1, 2) or not node.size:
        return False
    if node.kind == "reduce":
        (of,) = node.inputs
        return of.ndim == 2 and node.options.get("axis") in (-1, 1)
    return node.kind in ("elementwise", "where", "clip", "astype")


def local_rows(node: Recorded) -> int:
    """The length of the first axis."""
    return node.shape[0]


class Group:
    """Local nodes of one length, run one after the other on each block. ``inner`` are read by nobody else: a block of
    them at a time is enough, on each thread."""

    def __init__(self, nodes: list[Recorded], inner: set[Recorded]) -> None:
        self.nodes, self.inner = nodes, inner
        self.rows = local_rows(nodes[0])
        widest = max(
            part.size // part.shape[0] for node in nodes for part in (node, *node.inputs) if _has_rows(part, self.rows)
        )
        self.length = max(1, BLOCK // widest)
        self.pieces = -(-self.rows // self.length)
        self.work = sum(node.size for node in nodes)

    def calls(self, operand: Callable[[Any], Any], places: dict[Recorded, np.ndarray], threads: int) -> list[Call]:
        """The calls of all blocks; those of the second half of the rows on a second thread where that is worth it."""
        shares = threads if self.in_halves else 1
        lists: list[list[Call]] = []
        for share in range(shares):
            begin, end = (self.rows * bound // shares for bound in (share, share + 1))
            scratch = self._scratch()
            mine: list[Call] = []
            for start in range(begin, end, self.length):
                mine += self._block(slice(start, min(start + self.length, end)), scratch, operand, places)
            lists.append(mine)
        return lists[0] if shares == 1 else [(run_both, tuple(lists))]

    @property
    def in_halves(self) -> bool:
        """Whether two threads would have enough to do."""
        return self.work >= WORTH_A_THREAD and self.rows > 1

    def _block(self, block: slice, scratch: dict, operand: Callable, places: dict) -> list[Call]:
        made: list[Call] = []
        size = block.stop - block.start

        def part_of(node: Recorded, part: Any) -> Any:
            if not isinstance(part, Recorded):
                return part
            if part in scratch:
                return scratch[part][:size]
            array = operand(part)
            return array[block] if part.ndim == max(node.ndim, _ndim(node)) and array.shape[0] == self.rows else array

        for node in self.nodes:
            out = scratch[node][:size] if node in scratch else places[node][block]
            made += calls_of(node, [part_of(node, part) for part in node.inputs], out)
        return made

    def _scratch(self) -> dict[Recorded, np.ndarray]:
        """Block-sized places for the inner nodes, used again when their last reader is done."""
        last = {}
        for i, node in enumerate(self.nodes):
            for part in (node, *node.inputs):
                if part in self.inner:
                    last[part] = i
        spare: dict[Any, list[np.ndarray]] = defaultdict(list)
        made: dict[Recorded, np.ndarray] = {}
        for i, node in enumerate(self.nodes):
            if node in self.inner:
                free = spare[node.dtype, node.shape[1:]]
                made[node] = free.pop() if free else np.empty((self.length, *node.shape[1:]), node.dtype)
            for part in {part for part in (node, *node.inputs) if part in self.inner}:
                if last[part] == i:
                    spare[part.dtype, part.shape[1:]].append(made[part])
        return made


def _has_rows(part: Any, rows: int) -> bool:
    return isinstance(part, Recorded) and part.ndim > 0 and part.shape[0] == rows


def _ndim(node: Recorded) -> int:
    return max(part.ndim for part in node.inputs if isinstance(part, Recorded))
