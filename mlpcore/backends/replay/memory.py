"""Where every result of a program lives: memory is used again as soon as nobody will read what it holds."""

from collections import defaultdict
from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np

from mlpcore.backends.replay.blocks import Group, is_local, local_rows
from mlpcore.backends.replay.calls import Call, calls_of, reusable
from mlpcore.backends.replay.pairs import WORTH_HALVING, halves, joined, multiplications
from mlpcore.backends.replay.recording import Recorded, RecordingError


class Memory:
    """Places for the results of ``nodes``, which stand in the order in which they are run."""

    def __init__(self, nodes: list[Recorded], places: dict[Recorded, np.ndarray], threads: int = 1) -> None:
        self.nodes, self.threads = nodes, threads
        self.places = dict(places)
        self.position = {node: i for i, node in enumerate(nodes)}
        self.merged: dict[Recorded, Recorded] = {}
        self.kept: set[Recorded] = set()
        self.spare: dict[int, list[np.ndarray]] = defaultdict(list)
        self.users: dict[Recorded, list[Recorded]] = defaultdict(list)
        for node in nodes:
            if node.kind == "constant":
                self.places[node] = node.value
            for part in node.inputs:
                if isinstance(part, Recorded):
                    self.users[part].append(node)

    def root(self, node: Recorded) -> Recorded:
        """The node whose memory this one looks at: itself, but for views and parts of a concatenation."""
        while True:
            if node.kind == "view":
                node = node.inputs[0]
            elif node in self.merged:
                node = self.merged[node]
            else:
                return node

    def place(self, node: Recorded) -> np.ndarray:
        """The array of a node; a view is taken of its root's."""
        if node not in self.places:
            if node.kind != "view":
                raise RecordingError(f"{node.kind} is read before it is made")
            of = self.place(node.inputs[0])
            made = node.function(of, *node.inputs[1:], **node.options)
            if made.size and not np.may_share_memory(made, of):
                raise RecordingError("a reshape that copies")
            self.places[node] = made
        return self.places[node]

    def keep(self, nodes: Iterable[Recorded]) -> None:
        """These are read from outside, or later than their position tells: nothing may take their place."""
        self.kept.update(self.root(node) for node in nodes)

    def merge_parts(self) -> None:
        """A concatenation's parts are computed where they will stand, instead of being copied there."""
        for node in self.nodes:
            if node.kind != "concat":
                continue
            self.places[node] = whole = aligned(node.shape, node.dtype, zero=True)
            self.kept.add(node)
            for part, spot in _spots(node, whole):
                self._merge(node, part, spot)

    def _merge(self, node: Recorded, part: Recorded, spot: np.ndarray) -> None:
        root = part
        while root.kind == "view" and root.function is np.reshape and root.value.dtype == node.dtype:
            root = root.inputs[0]
        if root.kind == "constant":
            spot[...] = np.reshape(root.value, spot.shape)
        elif root.kind in ("matmul", "reduce", "elementwise") and root not in self.places and root.dtype == node.dtype:
            target = np.reshape(spot, root.shape)
            if np.may_share_memory(target, spot) and spot.size == target.size:
                self.places[root], self.merged[root] = target, node

    def overwrite_homes(self, changed: list[tuple[Recorded, Recorded, np.ndarray]]) -> None:
        """A new leaf of the state is computed into the old one's array where nobody reads the old one after that."""
        self._ends = self._last_uses()
        for new, old, home in changed:
            fits = new.kind == "elementwise" and new.value.shape == home.shape and new.dtype == home.dtype
            if fits and new not in self.places and old in self._ends and self._ends[old] <= self.position[new]:
                self.places[new] = home
                self.kept.add(new)

    def _last_uses(self) -> dict[Recorded, int]:
        ends: dict[Recorded, int] = {}
        for i, node in enumerate(self.nodes):
            ends[self.root(node)] = max(i, ends.get(self.root(node), i))
            for part in node.inputs:
                if isinstance(part, Recorded):
                    ends[self.root(part)] = max(i, ends.get(self.root(part), i))
        return ends

    def calls(self, section: list[Recorded]) -> list[Call]:
        """The calls of one section, with a place for every result."""
        made: list[Call] = []
        group: list[Recorded] = []
        pending: set[Recorded] = set()

        def close() -> None:
            nonlocal group, pending
            if group:
                made.extend(self._of_group(group))
            group, pending = [], set()

        for node in section:
            if node.kind in ("view", "constant", "input"):
                continue
            reads = {self.root(part) for part in node.inputs if isinstance(part, Recorded)}
            if is_local(node) and (not group or local_rows(group[0]) == local_rows(node)):
                group.append(node)
                pending.add(self.root(node))
            elif not reads & pending and all(part.ndim == 0 for part in (node, *reads)):
                made.extend(self._single(node))  # a number made of numbers need not end the group
            else:
                close()
                if is_local(node):
                    group, pending = [node], {self.root(node)}
                else:
                    made.extend(self._single(node))
        close()
        return joined(made)

    def _single(self, node: Recorded) -> list[Call]:
        if node.kind == "concat":
            return self._copies(node)
        made = calls_of(node, [self._operand(part) for part in node.inputs], self._claim(node))
        self._release(node)
        if self.threads > 1 and node.kind == "matmul" and multiplications(node) >= WORTH_HALVING:
            return [halves(call) for call in made]
        return made

    def _copies(self, node: Recorded) -> list[Call]:
        """What could not be computed in its place."""
        parts = _spots(node, self.places[node])
        left = [(part, spot) for part, spot in parts if self.root(part) is not node and part.kind != "constant"]
        return [(np.copyto, (spot, self.place(part))) for part, spot in left]

    def _of_group(self, group: list[Recorded]) -> list[Call]:
        members = set(group)
        inner = {
            node
            for node in group
            if node not in self.places and node not in self.kept and all(user in members for user in self.users[node])
        }
        together = Group(group, inner)
        if together.pieces > 1 or (self.threads > 1 and together.in_halves):
            for node in group:
                if node not in inner:
                    self._claim(node)
            made = together.calls(self._operand, self.places, self.threads)
            for node in group:
                self._release(node)
            return made
        return [call for node in group for call in self._single(node)]

    def _operand(self, part: Any) -> Any:
        return self.place(part) if isinstance(part, Recorded) else part

    def _claim(self, node: Recorded) -> np.ndarray:
        """A place for the result: one it has, that of an operand nobody needs any more, a spare one, or a new one."""
        if node in self.places:
            return self.places[node]
        for part in reusable(node):
            root = self.root(part)
            alike = root is part and root.dtype == node.dtype and root.shape == node.shape
            if alike and self._is_free_after(root, node):
                self.places[node] = self.places[root]
                self.kept.add(root)  # its memory is this node's now: not to be released twice
                return self.places[node]
        spare = self.spare[node.value.nbytes]
        self.places[node] = (
            spare.pop().view(node.dtype).reshape(node.shape) if spare else aligned(node.shape, node.dtype)
        )
        return self.places[node]

    def _release(self, node: Recorded) -> None:
        """Give back the memory of what was read for the last time, or never is."""
        for part in (*node.inputs, node):
            if isinstance(part, Recorded) and self._is_free_after(root := self.root(part), node):
                self.kept.add(root)
                self.spare[root.value.nbytes].append(self.places[root].reshape(-1).view(np.uint8))

    def _is_free_after(self, root: Recorded, node: Recorded) -> bool:
        """Whether the root's memory is ours, and nobody reads it after ``node``. Single numbers keep theirs, because
        they are made out of turn."""
        ours = root in self.places and root not in self.kept and root.kind not in ("input", "constant")
        return ours and root.ndim > 0 and self._ends[root] <= self.position[node]

    def copies(self, leaves: list[tuple[Recorded, Recorded, np.ndarray]]) -> list[Call]:
        """The calls that bring new leaves of the state home, where they were not computed there."""
        moved = [(new, home) for new, _, home in leaves if self.place(new) is not home]
        if any(self.root(new).kind == "input" for new, _ in moved):
            raise RecordingError("a state whose leaves change places")
        return [(np.copyto, (home, self.place(new))) for new, home in moved]


def _spots(node: Recorded, whole: np.ndarray) -> Iterator[tuple[Recorded, np.ndarray]]:
    """The parts of a concatenation, each with its piece of the whole."""
    axis, start = node.options.get("axis", 0), 0
    for part in node.inputs:
        index = [slice(None)] * node.ndim
        index[axis] = slice(start, start + part.shape[axis])
        start += part.shape[axis]
        yield part, whole[tuple(index)]


def aligned(shape: tuple[int, ...], dtype: Any, zero: bool = False) -> np.ndarray:
    """An array that starts on a 64-byte boundary, as vector loads like it."""
    size = int(np.prod(shape, dtype=np.int64)) * np.dtype(dtype).itemsize
    raw = (np.zeros if zero else np.empty)(size + 64, np.uint8)
    start = -raw.ctypes.data % 64
    return raw[start : start + size].view(dtype).reshape(shape)
