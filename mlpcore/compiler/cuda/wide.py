"""A loop without reductions as a kernel whose threads read and write up to 16 bytes at once."""

import re
from collections.abc import Iterable, Iterator

from mlpcore.compiler.cuda.schedule import BLOCK, length, reductions
from mlpcore.compiler.cuda.storage import DeviceStorage
from mlpcore.compiler.cuda.values import ValuePrinter
from mlpcore.compiler.formulas import HELD, STORED
from mlpcore.compiler.graph import N, Node
from mlpcore.compiler.places import ONE, ZERO, Place, packed
from mlpcore.compiler.schedule import Loop, Member, Strides, along

BYTES = 16  # the most that a thread reads or writes at once


def width(storage: DeviceStorage, loop: Loop) -> int:
    """How many entries a thread has in such a kernel; 1 where nothing lies side by side, or something is reduced."""
    if not loop.axes or reductions(loop.members.values()):
        return 1
    for count in (4, 2):
        sizes = list(_side_by_side(storage, loop, count))
        if sizes and count * max(sizes) <= BYTES:
            return count
    return 1


def _side_by_side(storage: DeviceStorage, loop: Loop, count: int) -> Iterator[int]:
    """The bytes of an entry of every array that is read or written ``count`` entries at a time."""
    printer = WidePrinter(storage, loop, count)
    for member in printer.entries:
        if member.node in storage.stored and printer.together(member.strides):
            yield member.node.dtype.itemsize
        for root, strides in printer.operands(member):
            if root not in loop.members and root.name != "number" and printer.together(strides):
                yield root.dtype.itemsize


class WidePrinter(ValuePrinter):
    """The text of one loop, ``width`` indices to a thread, one behind the other in the order of all indices.

    ``whole``: they differ in the last axis alone, and are never fewer. ``rows`` are the members that they have in
    common. Entries that lie side by side are read before, and written behind, what is computed for each index k.
    """

    def __init__(self, storage: DeviceStorage, loop: Loop, width: int) -> None:
        super().__init__(storage, loop)
        last = loop.axes[-1]
        self.width, self.whole = width, last is not N and last % width == 0
        self.axes = self.layout.outer[-1:] if self.whole else self.layout.outer  # along which they differ
        self.many = str(width) if self.whole else "count"  # fewer are left over at the end
        depth = len(loop.axes) - len(self.axes)
        members = self.rows
        self.rows = [one for one in members if one.work <= depth]
        self.entries = [one for one in members if one.work > depth]
        self.before: list[str] = []
        self.behind: list[str] = []

    def body(self) -> list[str]:
        """The lines of the kernel."""
        total, width = length(self.loop, self.layout.outer), self.width
        self.lines = [f"const I first = ((I)blockIdx.x * {BLOCK} + threadIdx.x) * {width};"]
        self.lines.append(f"if (first >= {total}) return;")
        if self.whole:
            self.lines += self._indices(self.layout.outer, "first")
        else:
            self.lines.append(f"const int count = {total} - first < {width} ? (int)({total} - first) : {width};")
        for members in (self.rows, self.entries):
            for member in members:
                self._value(member)
            for member in members:  # after every value: what is overwritten may be read by another member
                self._store(member, f"v{member.node.number}", [])
            if members is self.rows:
                common, self.lines = self.lines, []
                self.read.append({})
        each = self.lines
        if any(re.search(r"\bi\d+\b", line) for line in each):
            each = [*(f"  {line}" for line in self._own_indices()), *each]
        self.read.pop()
        loop = ["#pragma unroll", f"for (int k = 0; k < {width}; k++) {{", *each, "}"]
        return [*common, *self.before, *loop, *self.behind]

    def _own_indices(self) -> list[str]:
        """The indices of number k."""
        if not self.whole:
            # Behind the last index the first one's work is done once more.
            return ["const I e = first + (k < count ? k : 0);", *self._indices(self.layout.outer, "e")]
        (last,) = self.axes
        self.before.append(f"const I begin = i{last};")
        return [f"const I i{last} = begin + k;"]

    # --- what lies side by side

    def together(self, strides: Strides) -> bool:
        """Whether the entries of a thread do, for these strides along the axes of the loop."""
        return strides[-1] == ONE if self.whole else strides == packed(self.loop.axes) != (ZERO,) * len(strides)

    def operands(self, member: Member) -> Iterator[tuple[Node, Strides]]:
        """The arrays that a member reads, and their strides; those that are gathered are left out."""
        for node in member.node.inputs[member.node.kind == "take" :]:
            place = self.storage.places[node]
            axes = member.axes[len(member.axes) - len(place.strides) :]
            if member.node.kind == "take":
                axes = self._gather(member).axes
            yield place.root, along(place.strides, axes, self.loop)

    def _same(self, strides: Strides) -> bool:
        """Whether all entries of a thread are one."""
        return all(strides[axis] == ZERO for axis in self.axes)

    def _address(self, place: Place, strides: Strides) -> str:
        if strides != packed(self.loop.axes):
            return f"&{self._at(place, strides)}"
        name, _, begin = self._at(place, ())[:-1].partition("[")
        return f"&{name}[first]" if begin == "0" else f"&{name}[first + {begin}]"

    def _entries(self, root: Node, address: str) -> str:
        """Entry k of those that begin at an address."""
        known = self.read[0]
        if address not in known:
            known[address] = self._name()
            kind = STORED[str(root.dtype)]
            self.before.append(f"{kind} {known[address]}[{self.width}];")
            self.before.append(f"read_entries<{self.width}>({known[address]}, {address}, {self.many});")
        return f"{known[address]}[k]"

    def _read_at(self, place: Place, strides: Strides) -> str:
        if len(self.read) == 1:
            return super()._read_at(place, strides)
        if self.together(strides):
            return self._entries(place.root, self._address(place, strides))
        if not self._same(strides):
            return self._loaded(self._at(place, strides), place.root, self.read[-1], True)
        text = self._at(place, strides)
        if text not in self.read[0]:
            self.read[0][text] = self._name()
            self.before.append(f"const {HELD[str(place.root.dtype)]} {self.read[0][text]} = {text};")
        return self.read[0][text]

    def _gathered(self, member: Member) -> str:
        source, strides, _, numbers, axes = self._gather(member)
        fixed = self._same(along(numbers.strides, axes, self.loop))
        fixed = fixed and all(numbers.root is not one.node for one in self.entries)
        text = super()._gathered(member)
        if len(self.read) == 1 or not (self.whole and fixed and strides[-1] == ONE):
            return text
        return self._entries(source.root, f"&{text}")

    def _store(self, member: Member, value: str, conditions: Iterable[str]) -> None:
        if member.node not in self.storage.stored:
            return
        axes = range(member.work, len(self.dims))
        if member in self.entries and not axes and self.together(member.strides):
            name = f"w{member.node.number}"
            self.before.append(f"{STORED[str(member.node.dtype)]} {name}[{self.width}];")
            self._emit(f"{name}[k] = {value};")
            address = self._address(self.storage.places[member.node], member.strides)
            self.behind.append(f"write_entries<{self.width}>({address}, {name}, {self.many});")
            return
        guards = [f"i{axis} == 0" for axis in axes] if self.whole or member in self.entries else ["first == 0"]
        condition = f"if ({' && '.join(guards)}) " if guards else ""
        self._emit(f"{condition}{self._entry(member)} = {value};")
