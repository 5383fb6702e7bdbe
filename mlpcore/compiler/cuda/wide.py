"""Prints a loop without reductions as a kernel with vector loads and stores of up to 16 bytes."""

import re
from collections.abc import Iterable, Iterator

from mlpcore.compiler.cuda.schedule import BLOCK, length, reductions
from mlpcore.compiler.cuda.storage import DeviceStorage
from mlpcore.compiler.cuda.values import ValuePrinter
from mlpcore.compiler.formulas import HELD, STORED
from mlpcore.compiler.graph import N, Node
from mlpcore.compiler.places import ONE, ZERO, Place, packed
from mlpcore.compiler.schedule import Loop, Member, Strides, loop_strides

BYTES = 16  # the largest vector load or store


def width(storage: DeviceStorage, loop: Loop) -> int:
    """The number of consecutive indices of a thread; 1 for a loop without contiguous accesses or with reductions."""
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
        if member.node in storage.stored and printer.contiguous(member.strides):
            yield member.node.dtype.itemsize
        for root, strides in printer.operands(member):
            if root not in loop.members and root.name != "number" and printer.contiguous(strides):
                yield root.dtype.itemsize


class WidePrinter(ValuePrinter):
    """Prints one loop with ``width`` consecutive indices for every thread.

    ``whole``: the indices of a thread differ in the last axis only, and there are always ``width`` of them. ``rows``
    are the members that have the same value for all of them. Contiguous entries are loaded before, and stored after,
    the loop over the indices k of a thread.
    """

    def __init__(self, storage: DeviceStorage, loop: Loop, width: int) -> None:
        super().__init__(storage, loop)
        last = loop.axes[-1]
        self.width, self.whole = width, last is not N and last % width == 0
        self.axes = self.layout.outer[-1:] if self.whole else self.layout.outer  # in which a thread's indices differ
        self.valid = str(width) if self.whole else "count"  # number of valid indices; the last thread may have fewer
        depth = len(loop.axes) - len(self.axes)
        members = self.rows
        self.rows = [member for member in members if member.inner_depth <= depth]
        self.entries = [member for member in members if member.inner_depth > depth]
        self.loads: list[str] = []
        self.stores: list[str] = []

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
            for member in members:  # after all values: a store may overwrite what another member reads
                self._store(member, f"v{member.node.number}", [])
            if members is self.rows:
                common, self.lines = self.lines, []
                self.read.append({})
        inner = self.lines
        if any(re.search(r"\bi\d+\b", line) for line in inner):
            inner = [*(f"  {line}" for line in self._own_indices()), *inner]
        self.read.pop()
        loop = ["#pragma unroll", f"for (int k = 0; k < {width}; k++) {{", *inner, "}"]
        return [*common, *self.loads, *loop, *self.stores]

    def _own_indices(self) -> list[str]:
        """Declarations of the indices of entry k."""
        if not self.whole:
            # Indices past the last one repeat the first one's work.
            return ["const I e = first + (k < count ? k : 0);", *self._indices(self.layout.outer, "e")]
        (last,) = self.axes
        self.loads.append(f"const I begin = i{last};")
        return [f"const I i{last} = begin + k;"]

    # --- contiguous accesses

    def contiguous(self, strides: Strides) -> bool:
        """Whether the entries of a thread are contiguous, for these strides along the axes of the loop."""
        return strides[-1] == ONE if self.whole else strides == packed(self.loop.axes) != (ZERO,) * len(strides)

    def operands(self, member: Member) -> Iterator[tuple[Node, Strides]]:
        """The arrays that a member reads, and their strides; without the source of a gather."""
        for node in member.node.inputs[member.node.kind == "take" :]:
            place = self.storage.places[node]
            axes = member.axes[len(member.axes) - len(place.strides) :]
            if member.node.kind == "take":
                axes = self._gather(member).axes
            yield place.root, loop_strides(place.strides, axes, self.loop)

    def _same(self, strides: Strides) -> bool:
        """Whether all indices of a thread read the same entry."""
        return all(strides[axis] == ZERO for axis in self.axes)

    def _address(self, place: Place, strides: Strides) -> str:
        if strides != packed(self.loop.axes):
            return f"&{self._at(place, strides)}"
        name, _, offset = self._at(place, ())[:-1].partition("[")
        return f"&{name}[first]" if offset == "0" else f"&{name}[first + {offset}]"

    def _entries(self, root: Node, address: str) -> str:
        """Entry k of the contiguous entries at an address, loaded before the loop."""
        variables = self.read[0]
        if address not in variables:
            variables[address] = self._name()
            kind = STORED[str(root.dtype)]
            self.loads.append(f"{kind} {variables[address]}[{self.width}];")
            self.loads.append(f"read_entries<{self.width}>({variables[address]}, {address}, {self.valid});")
        return f"{variables[address]}[k]"

    def _read_at(self, place: Place, strides: Strides) -> str:
        if len(self.read) == 1:
            return super()._read_at(place, strides)
        if self.contiguous(strides):
            return self._entries(place.root, self._address(place, strides))
        if not self._same(strides):
            return self._loaded(self._at(place, strides), place.root, self.read[-1], True)
        text = self._at(place, strides)
        if text not in self.read[0]:
            self.read[0][text] = self._name()
            self.loads.append(f"const {HELD[str(place.root.dtype)]} {self.read[0][text]} = {text};")
        return self.read[0][text]

    def _gathered(self, member: Member) -> str:
        source, strides, _, indices, axes = self._gather(member)
        fixed = self._same(loop_strides(indices.strides, axes, self.loop))
        fixed = fixed and all(indices.root is not member.node for member in self.entries)
        text = super()._gathered(member)
        if len(self.read) == 1 or not (self.whole and fixed and strides[-1] == ONE):
            return text
        return self._entries(source.root, f"&{text}")

    def _store(self, member: Member, value: str, conditions: Iterable[str]) -> None:
        if member.node not in self.storage.stored:
            return
        axes = range(member.inner_depth, len(self.dims))
        if member in self.entries and not axes and self.contiguous(member.strides):
            name = f"w{member.node.number}"
            self.loads.append(f"{STORED[str(member.node.dtype)]} {name}[{self.width}];")
            self._emit(f"{name}[k] = {value};")
            place = self.storage.places[member.node]
            address = self._address(place, member.strides)
            if member.strides != packed(self.loop.axes):
                name_of_array, _, index = address[:-1].partition("[")
                address = f"{name_of_array}[opaque({index})]"
            self.stores.append(f"write_entries<{self.width}>({address}, {name}, {self.valid});")
            return
        guards = [f"i{axis} == 0" for axis in axes] if self.whole or member in self.entries else ["first == 0"]
        condition = f"if ({' && '.join(guards)}) " if guards else ""
        self._emit(f"{condition}{self._entry(member)} = {value};")
