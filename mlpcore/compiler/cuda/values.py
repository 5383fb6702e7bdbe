"""Prints the values of the members of a loop in a kernel: loads, formulas and stores at one index."""

from collections.abc import Iterable
from typing import NamedTuple

from mlpcore.compiler.cuda.schedule import dims, reductions, thread_layout
from mlpcore.compiler.cuda.storage import DeviceStorage
from mlpcore.compiler.cuda.thread_reductions import better
from mlpcore.compiler.formulas import HELD, combine, expression, literal
from mlpcore.compiler.graph import Node
from mlpcore.compiler.places import ZERO, Place, Size, entry
from mlpcore.compiler.schedule import Loop, Member, Strides, loop_strides


class Gather(NamedTuple):
    """A gather: the place of its source, the source's strides along the loop without the gathered axis, the stride of
    that axis, and the place and the loop axes of the array of indices."""

    source: Place
    strides: Strides
    step: Size
    indices: Place
    axes: tuple[int, ...]


class ValuePrinter:
    """The lines of a kernel. The value of node 7 is the variable ``v7``; ``u0``, ``u1`` are loaded entries.

    ``rows`` are the members computed once for an outer index, ``entries`` those computed for every inner index,
    ``reduced`` the reductions. ``arrays`` and ``numbers`` are the arguments of the kernel.
    """

    def __init__(self, storage: DeviceStorage, loop: Loop) -> None:
        self.storage, self.loop = storage, loop
        self.layout, self.dims = thread_layout(loop), dims(loop)
        self.arrays: list[Node] = []
        self.numbers: list[Node] = []
        self.lines: list[str] = []
        self.read: list[dict[str, str]] = [{}]  # variables of loaded entries, outside and inside the pass over a row
        self.count = 0
        order = {node: i for i, node in enumerate(storage.schedule.nodes)}
        members = sorted(loop.members.values(), key=lambda member: order[member.node])
        self.reduced = reductions(members)
        entrywise = [member for member in members if member not in self.reduced]
        depth = -1 if self.layout.sums else len(self.layout.outer)
        self.rows = [member for member in entrywise if member.inner_depth <= depth]
        self.entries = [member for member in entrywise if member.inner_depth > depth]

    def _indices(self, axes: tuple[int, ...], flat: str) -> list[str]:
        """Declarations of the indices of some axes, from the flat index over these axes."""
        if len(axes) == 1:
            return [f"const I i{axes[0]} = {flat};"]
        lines = [f"I {flat}_left = {flat};"] if axes else []
        for axis in reversed(axes[1:]):
            lines.append(f"const I i{axis} = {flat}_left % {self.dims[axis]}; {flat}_left /= {self.dims[axis]};")
        return [*lines, *(f"const I i{axis} = {flat}_left;" for axis in axes[:1])]

    def _emit(self, line: str) -> None:
        self.lines.append("  " * (len(self.read) - 1) + line)

    def _value(self, member: Member) -> None:
        node = member.node
        if node.kind == "reduce":  # over axes of length 1
            value = "0" if node.name == "argmax" else self._operand(member, 0)
        elif node.kind == "take":
            value = self._gathered(member)
        else:
            value = expression(node, [self._operand(member, i) for i in range(len(node.inputs))])
        self._emit(f"const {HELD[str(node.dtype)]} v{node.number} = {value};")

    def _step(self, member: Member) -> list[str]:
        """The lines that add one entry to a reduction."""
        value, name = self._operand(member, 0), f"v{member.node.number}"
        if member.node.name != "argmax":
            return [f"{name} = {combine(member.node).format(name, value)};"]
        (axis,) = dict(member.node.attributes)["axes"]
        return [f"if ({better(value, f'{name}_best', f'i{member.axes[axis]}', name)}) "
                f"{{ {name}_best = {value}; {name} = i{member.axes[axis]}; }}"]  # fmt: skip

    def _operand(self, member: Member, position: int) -> str:
        place = self.storage.places[member.node.inputs[position]]
        return self._operand_at(member, place, member.axes[len(member.axes) - len(place.strides) :])

    def _operand_at(self, member: Member, place: Place, axes: tuple[int, ...]) -> str:
        root = place.root
        if root.name == "number":
            value = dict(root.attributes)["value"]
            return self._number(root) if root.dtype.kind == "f" else literal(value, root.dtype)
        if root in self.loop.members:
            return f"v{root.number}"
        return self._read_at(place, loop_strides(place.strides, axes, self.loop))

    def _read_at(self, place: Place, strides: Strides) -> str:
        inside = any(strides[a] != ZERO for a in self.layout.inner) and len(self.read) > 1
        return self._loaded(self._at(place, strides), place.root, self.read[-1 if inside else 0], inside)

    def _loaded(self, entry: str, root: Node, variables: dict[str, str], inside: bool) -> str:
        for scope in self.read:
            if entry in scope:
                return scope[entry]
        if not inside and len(self.read) > 1:
            variables = self.read[-1]  # first read within a pass over the row
        variables[entry] = self._name()
        self._emit(f"const {HELD[str(root.dtype)]} {variables[entry]} = {entry};")
        return variables[entry]

    def _name(self) -> str:
        """A name for the next loaded entry."""
        self.count += 1
        return f"u{self.count - 1}"

    def _gather(self, member: Member) -> "Gather":
        node, axis = member.node, dict(member.node.attributes)["axis"]
        source, indices = (self.storage.places[operand] for operand in node.inputs)
        count = node.inputs[1].ndim
        strides = (*source.strides[:axis], *[ZERO] * count, *source.strides[axis + 1 :])
        axes = member.axes[axis : axis + count]
        return Gather(source, loop_strides(strides, member.axes, self.loop), source.strides[axis], indices, axes)

    def _gathered(self, member: Member) -> str:
        source, strides, step, indices, axes = self._gather(member)
        name, _, index = self._at(source, strides).partition("[")
        return f"{name}[(I){self._operand_at(member, indices, axes)} * {step} + {index}"

    def _store(self, member: Member, value: str, conditions: Iterable[str]) -> None:
        """Print the store of a value, under the conditions, if the member is stored in memory."""
        if member.node not in self.storage.stored:
            return
        axes = range(
            member.depth if member.node.kind == "reduce" and not member.trivial else member.inner_depth, len(self.dims)
        )
        reduced = self.layout.inner if member in self.reduced else ()
        guards = [*conditions, *(f"i{a} == 0" for a in axes if a not in reduced and not (self._outside(member, a)))]
        condition = f"if ({' && '.join(guards)}) " if guards else ""
        self._emit(f"{condition}{self._entry(member)} = {value};")

    def _outside(self, member: Member, axis: int) -> bool:
        """Whether the axis is inner and the member is computed outside the pass over it."""
        return member in self.rows and axis in self.layout.inner

    def _entry(self, member: Member) -> str:
        return self._at(self.storage.places[member.node], member.strides)

    def _at(self, place: Place, strides: Strides) -> str:
        owner, offset = self.storage.owner_of(place.root)
        if owner not in self.arrays:
            self.arrays.append(owner)
        return entry(f"a{self.arrays.index(owner)}", offset.plus(place.offset), strides)

    def _number(self, node: Node) -> str:
        if node not in self.numbers:
            self.numbers.append(node)
        return f"c{self.numbers.index(node)}"
