"""A loop of a schedule as C: indices from the outermost to the innermost, the formulas of its members within."""

from mlpcore.compiler.blocks import Block, in_scope
from mlpcore.compiler.formulas import BEGIN, HELD, JOIN, STORED, expression, literal
from mlpcore.compiler.graph import N, Node
from mlpcore.compiler.places import ZERO, Place, size
from mlpcore.compiler.schedule import Loop, Member, along
from mlpcore.compiler.storage import Storage

LANES = 16  # partial sums of a reduction along a row, added up in one fixed order whatever vectors the machine has


class LoopPrinter:
    """The lines of one loop; the value of node 7 is the variable ``v7``."""

    def __init__(self, storage: Storage, loop: Loop, tiled: bool = False) -> None:
        self.storage, self.loop = storage, loop
        self.lengths = (N, *loop.axes[1:]) if tiled else loop.axes  # n is the length of the tile
        self.lines: list[str] = []

    def print(self) -> list[str]:
        """All lines, with a comment that says whose formulas these are."""
        labels = dict.fromkeys(node.label for node in self.loop.members if node.label)
        self._emit(f"// {', '.join(labels)}")
        self._emit("{")
        for node, member in self.loop.members.items():
            if node.kind == "reduce" and member.late and not member.in_register:
                self._clear(node)
        self._parts(self.storage.blocks[self.loop], 1, [])
        self._emit("}")
        return self.lines

    def read(self, member: Member) -> str:
        """What a member with one operand reads at its index."""
        return self._operand(member, 0)

    def _emit(self, line: str, indent: int = 0) -> None:
        self.lines.append("  " * indent + line)

    def _clear(self, node: Node) -> None:
        """The array of a reduction over outer axes before the first index."""
        name, begin = self.storage.array(node)
        start = f"{name} + {begin}" if begin != ZERO else name
        self._emit(f"{STORED[str(node.dtype)]} *v{node.number} = {start};", 1)
        self._emit(f"for (I i = 0; i < {size(node.shape)}; i++) v{node.number}[i] = {BEGIN[node.name]};", 1)

    def _parts(self, block: Block, indent: int, laned: list[Member]) -> None:
        stores: list[Member] = []  # after every value: what is overwritten may be read by another member
        for part in block.parts:
            if isinstance(part, Block):
                self._inner(block, part, indent)
            elif part.node.kind == "reduce" and not part.short:
                self._accumulate(part, indent, part in laned)
            else:
                self._value(part, indent)
                stores += [part] if part.node in self.storage.stored else []
        for member in stores:
            self._store(member, indent)

    def _inner(self, outer: Block, block: Block, indent: int) -> None:
        """The loop over one more axis, with what is reduced over it before and after."""
        axis = block.depth - 1
        dim = self.lengths[axis]
        reduced = [m for m in block.members() if m.node.kind == "reduce" and not m.short and m.in_register]
        reduced = [member for member in reduced if member.depth == outer.depth]
        innermost = axis == len(self.loop.axes) - 1 and (dim is N or dim >= LANES)
        laned = [member for member in reduced if innermost and member.node.name != "argmax"]
        for member in reduced:
            self._begin(member, indent, member in laned)
        index, end = f"i{axis}", "n" if dim is N else str(dim)
        if laned:
            whole = f"n / {LANES} * {LANES}" if dim is N else str(dim // LANES * LANES)
            self._emit(f"for (I j = 0; j < {whole}; j += {LANES})", indent)
            self._emit(f"for (I l = 0; l < {LANES}; l++) {{", indent + 1)
            self._emit(f"const I {index} = j + l;", indent + 2)
            self._parts(block, indent + 2, laned)
            self._emit("}", indent + 1)
            if dim is N or dim % LANES:
                self._emit(f"for (I {index} = {whole}, l = 0; {index} < {end}; {index}++, l++) {{", indent)
                self._parts(block, indent + 1, laned)
                self._emit("}", indent)
        else:
            self._emit(f"for (I {index} = 0; {index} < {end}; {index}++) {{", indent)
            self._parts(block, indent + 1, [])
            self._emit("}", indent)
        for member in reduced:
            self._end(member, indent, member in laned)

    # --- reductions

    def _begin(self, member: Member, indent: int, laned: bool) -> None:
        node, name = member.node, f"v{member.node.number}"
        kind = HELD[str(node.dtype)]
        if node.name == "argmax":
            self._emit(f"{HELD[str(node.inputs[0].dtype)]} {name}_best = 0; I {name} = -1;", indent)
        elif laned:
            self._emit(f"{kind} {name}_[{LANES}];", indent)
            self._emit(f"for (int l = 0; l < {LANES}; l++) {name}_[l] = {BEGIN[node.name]};", indent)
        else:
            self._emit(f"{kind} {name} = {BEGIN[node.name]};", indent)

    def _accumulate(self, member: Member, indent: int, laned: bool) -> None:
        node, name = member.node, f"v{member.node.number}"
        value = self._operand(member, 0)
        if node.name == "argmax":
            (axis,) = dict(node.attributes)["axes"]
            place = f"i{member.axes[axis]}" if member.axes[axis] >= 0 else "0"
            first_nan = f"({value} != {value} && {name}_best == {name}_best)"
            self._emit(f"if ({name} < 0 || {value} > {name}_best || {first_nan}) {{", indent)
            self._emit(f"{name}_best = {value}; {name} = {place};", indent + 1)
            self._emit("}", indent)
            return
        if member.in_register:
            target = f"{name}_[l]" if laned else name
        else:
            target = self.storage.entry(self.storage.places[node], member.strides)
        self._emit(f"{target} = {JOIN[node.name].format(target, value)};", indent)

    def _end(self, member: Member, indent: int, laned: bool) -> None:
        node, name = member.node, f"v{member.node.number}"
        if laned:
            self._emit(f"for (int k = {LANES // 2}; k; k /= 2) for (int l = 0; l < k; l++)", indent)
            self._emit(f"{name}_[l] = {JOIN[node.name].format(f'{name}_[l]', f'{name}_[l + k]')};", indent + 1)
            self._emit(f"const {HELD[str(node.dtype)]} {name} = {name}_[0];", indent)
        if node in self.storage.stored:
            self._store(member, indent)

    # --- values

    def _value(self, member: Member, indent: int) -> None:
        node = member.node
        if node.kind == "reduce":  # over axes of length 1
            value = "0" if node.name == "argmax" else self._operand(member, 0)
        elif node.kind == "take":
            value = self._gathered(member)
        else:
            value = expression(node, [self._operand(member, i) for i in range(len(node.inputs))])
        self._emit(f"const {HELD[str(node.dtype)]} v{node.number} = {value};", indent)

    def _store(self, member: Member, indent: int) -> None:
        entry = self.storage.entry(self.storage.places[member.node], member.strides)
        self._emit(f"{entry} = v{member.node.number};", indent)

    def _operand(self, member: Member, position: int) -> str:
        place = self.storage.places[member.node.inputs[position]]
        before = len(member.axes) - len(place.strides)
        return self._read(member, place, member.axes[before:])

    def _read(self, member: Member, place: Place, axes: tuple[int, ...]) -> str:
        """What a member reads at its index: a constant, a variable, or an entry of an array."""
        root = place.root
        if root.name == "number":
            value = dict(root.attributes)["value"]
            return self.storage.number(root) if root.dtype.kind == "f" else literal(value, root.dtype)
        if root in self.loop.members and in_scope(self.loop, self.storage.paths, root, member.node):
            return f"v{root.number}"
        return self.storage.entry(place, along(place.strides, axes, self.loop))

    def _gathered(self, member: Member) -> str:
        """An entry of the first operand whose place along one axis is an entry of the second."""
        node, axis = member.node, dict(member.node.attributes)["axis"]
        source, index = (self.storage.places[one] for one in node.inputs)
        count = node.inputs[1].ndim
        strides = (*source.strides[:axis], *[ZERO] * count, *source.strides[axis + 1 :])
        name, _, rest = self.storage.entry(source, along(strides, member.axes, self.loop)).partition("[")
        taken = self._read(member, index, member.axes[axis : axis + count])
        return f"{name}[(I){taken} * {source.strides[axis]} + {rest}"
