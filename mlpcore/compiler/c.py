"""A schedule as C: every loop with the formulas of its members, every product as a call."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np

from mlpcore.compiler.formulas import BEGIN, HELD, JOIN, PREAMBLE, STORED, expression, literal
from mlpcore.compiler.graph import N, Node
from mlpcore.compiler.memory import replaceable
from mlpcore.compiler.places import ZERO, Place, Size, packed, size
from mlpcore.compiler.schedule import Loop, Member, Schedule, along

LANES = 16  # partial sums of a reduction along a row, added up in one fixed order whatever vectors the machine has


CHUNK = """
// Steps, until the time is up: the rows of each are gathered, its draws read where they lie.
typedef struct {
  I parts, draws, steps, loss_bytes, *order, *row_bytes, *draw_bytes, *draw_at;
  char **data, **batch, **drawn, *losses, *loss;
  double seconds;
} Chunk;

void mlpcore_call(void **p, const double *c, I n, Gemm gemm, Gemmd gemmd) { one_step(p, c, n, gemm, gemmd); }

I mlpcore_run(void **p, const double *c, I n, Gemm gemm, Gemmd gemmd, const Chunk *k) {
  struct timespec begin, now;
  clock_gettime(CLOCK_MONOTONIC, &begin);
  for (I s = 0; s < k->steps; s++) {
    const I *rows = k->order + s * n;
    for (I part = 0; part < k->parts; part++) {
      const I bytes = k->row_bytes[part];
      for (I i = 0; i < n; i++) memcpy(k->batch[part] + i * bytes, k->data[part] + rows[i] * bytes, bytes);
    }
    for (I d = 0; d < k->draws; d++) p[k->draw_at[d]] = k->drawn[d] + s * k->draw_bytes[d];
    one_step(p, c, n, gemm, gemmd);
    memcpy(k->losses + s * k->loss_bytes, k->loss, k->loss_bytes);
    clock_gettime(CLOCK_MONOTONIC, &now);
    if (now.tv_sec - begin.tv_sec + 1e-9 * (now.tv_nsec - begin.tv_nsec) > k->seconds) return s + 1;
  }
  return k->steps;
}
"""


@dataclass(eq=False)
class Block:
    """What is done within the first ``depth`` axes of a loop: members, and blocks one axis further in."""

    depth: int
    parts: list["Member | Block"] = field(default_factory=list)


class Printer:
    """The text of a schedule; ``arrays`` are the arrays it is called with, ``numbers`` its floating constants."""

    def __init__(self, schedule: Schedule, pairs: Sequence[tuple[Node, Node]] = ()) -> None:
        self.schedule = schedule
        self.graph, self.places = schedule.graph, schedule.places
        self.arrays: list[Node] = []
        self.numbers: list[Node] = []
        self.lines: list[str] = []
        self.blocks = {id(item): _blocks(schedule, item) for item in schedule.items if isinstance(item, Loop)}
        self.stored = self._stored()
        self.home: dict[Node, tuple[Node, Size]] = {}
        self._place_parts()
        paths = {node: path for block in self.blocks.values() for node, path in _paths(block)}
        replaced = replaceable(schedule, paths, [pair for pair in pairs if schedule.places[pair[0]].root not in self.home])
        self.home |= {new: (old, ZERO) for new, old in replaced.items()}
        roots = [(schedule.places[new].root, old) for new, old in pairs]
        self.copies = [(new, old) for new, old in roots if new is not old and replaced.get(new) is not old]

    # --- what is kept in memory

    def _stored(self) -> set[Node]:
        """The nodes whose entries somebody reads who is not in the same block of the same loop, or within it."""
        kept = {self.places[one].root for one in self.graph.outputs}
        for item in self.schedule.items:
            if isinstance(item, Node):
                kept |= {item, *(self.schedule.source(item, one).root for one in item.inputs)}
                continue
            path = dict(_paths(self.blocks[id(item)]))
            for node, member in item.members.items():
                if member.late:
                    kept.add(node)
                for i, one in enumerate(node.inputs):
                    root = self.places[one].root
                    if root.kind == "constant":
                        continue
                    if root not in path or (node.kind == "take" and i == 0):
                        kept.add(root)
                    elif not _in_scope(item, path, root, node):
                        kept.add(root)
        return kept

    def _place_parts(self) -> None:
        """Parts of a concatenation that are computed here, whole and packed, get their place in it."""
        for node in self.schedule.items:
            if not isinstance(node, Node) or node.kind != "concat":
                continue
            axis, begin = dict(node.attributes)["axis"], ZERO
            alone = all(dim is not N and dim == 1 for dim in node.shape[:axis])
            for part in node.inputs:
                place = self.places[part]
                whole = place.offset == ZERO and place.strides == packed(part.shape) and size(part.shape) == size(place.root.shape)
                if alone and whole and place.root.kind not in ("input", "constant", "concat") and place.root not in self.home:
                    self.home[place.root] = (node, begin)
                begin = begin.plus(size(part.shape))

    def array(self, root: Node) -> tuple[str, Size]:
        """The name of the array that holds the entries of a root, and from which entry on."""
        whole, offset = self.home.get(root, (root, ZERO))
        if whole in self.home:
            name, more = self.array(whole)
            return name, offset.plus(more)
        if whole not in self.arrays:
            self.arrays.append(whole)
        return f"a{self.arrays.index(whole)}", offset

    # --- text

    def text(self) -> str:
        """The whole file: a function ``run(arrays, numbers, n, gemm, gemmd)``."""
        body: list[str] = []
        for item in self.schedule.items:
            self.lines = body
            if isinstance(item, Loop):
                self._loop(item)
            elif item.kind == "matmul":
                self._product(item)
            else:
                self._concatenation(item)
        for new, old in self.copies:
            (name, begin), (target, _) = self.array(new), self.array(old)
            self._emit(f"memcpy({target}, {name} + {begin}, sizeof *{target} * {size(old.shape)});")
        for one in self.graph.outputs:
            self.array(self.places[one].root)
        head = [f"{STORED[str(one.dtype)]} *restrict const a{i} = p[{i}];" for i, one in enumerate(self.arrays)]
        head += [f"const {HELD[str(one.dtype)]} c{i} = ({HELD[str(one.dtype)]})c[{i}];" for i, one in enumerate(self.numbers)]
        lines = ["  " + line for line in (*head, *body)]
        return "\n".join(
            [PREAMBLE, "static void one_step(void **p, const double *c, I n, Gemm gemm, Gemmd gemmd) {", *lines, "}", CHUNK]
        )

    def _emit(self, line: str, depth: int = 0) -> None:
        self.lines.append("  " * depth + line)

    def _entry(self, place: Place, strides: tuple[Size, ...]) -> str:
        """An entry of an array, for strides along the axes of the loop."""
        name, offset = self.array(place.root)
        total = offset.plus(place.offset)
        terms = [f"i{a}" if s == Size(1) else f"i{a} * {s}" for a, s in enumerate(strides) if s != ZERO]
        if total != ZERO or not terms:
            terms.append(str(total))
        return f"{name}[{' + '.join(terms)}]"

    def _loop(self, loop: Loop) -> None:
        labels = dict.fromkeys(node.label for node in loop.members if node.label)
        self._emit("")
        self._emit(f"// {', '.join(labels)}")
        self._emit("{")
        for node, member in loop.members.items():
            if node.kind == "reduce" and member.late and not self._in_register(loop, member):
                self._clear(node)
        block = self.blocks[id(loop)]
        self._parts(loop, block, 1, [], "")
        self._emit("}")

    def _in_register(self, loop: Loop, member: Member) -> bool:
        """Whether a reduction is over all inner axes, so that it needs no array while it goes on."""
        return all(stride == ZERO for stride in member.strides[member.depth :])

    def _clear(self, node: Node) -> None:
        name, offset = self.array(node)
        begin = BEGIN.get(node.name) or ("-INFINITY" if node.name == "max" else "INFINITY")
        start = f"{name} + {offset}" if offset != ZERO else name
        kind = STORED[str(node.dtype)]
        self._emit(f"for (I i = 0; i < {size(node.shape)}; i++) (({kind} *)({start}))[i] = {begin};", 1)

    def _inner(self, loop: Loop, outer: Block, block: Block, indent: int) -> None:
        """The loop over one more axis, with what is reduced over it before and after."""
        axis = block.depth - 1
        dim = loop.axes[axis]
        sums = [m for m in _members(block) if m.node.kind == "reduce" and not m.short and self._in_register(loop, m) and m.depth == outer.depth]
        innermost = not any(isinstance(part, Block) for part in block.parts)
        laned = [m for m in sums if m.node.name != "argmax" and axis == len(loop.axes) - 1 and (dim is N or dim >= LANES)]
        laned = laned if innermost else []
        for member in sums:
            self._begin(member, indent, member in laned)
        name, bound = f"i{axis}", "n" if dim is N else str(dim)
        if laned:
            whole = "n / 16 * 16" if dim is N else str(dim // LANES * LANES)
            self._emit(f"for (I j = 0; j < {whole}; j += {LANES})", indent)
            self._emit(f"for (I l = 0; l < {LANES}; l++) {{", indent + 1)
            self._emit(f"const I {name} = j + l;", indent + 2)
            self._parts(loop, block, indent + 2, laned, "l")
            self._emit("}", indent + 1)
            if dim is N or dim % LANES:
                self._emit(f"for (I {name} = {whole}, l = 0; {name} < {bound}; {name}++, l++) {{", indent)
                self._parts(loop, block, indent + 1, laned, "l")
                self._emit("}", indent)
        else:
            self._emit(f"for (I {name} = 0; {name} < {bound}; {name}++) {{", indent)
            self._parts(loop, block, indent + 1, [], "")
            self._emit("}", indent)
        for member in sums:
            self._end(loop, member, indent, member in laned)

    def _parts(self, loop: Loop, block: Block, indent: int, laned: list[Member], lane: str) -> None:
        stores: list[Member] = []  # after every value: what is overwritten may be read by another member
        for part in block.parts:
            if isinstance(part, Block):
                self._inner(loop, block, part, indent)
            elif part.node.kind == "reduce" and not part.short:
                self._accumulate(loop, part, indent, lane if part in laned else "")
            else:
                self._value(loop, part, indent)
                stores += [part] if part.node in self.stored else []
        self._store(stores, indent)

    def _store(self, members: list[Member], indent: int) -> None:
        for member in members:
            name = f"v{member.node.number}"
            self._emit(f"{self._entry(self.places[member.node], member.strides)} = {name};", indent)

    # --- reductions

    def _begin(self, member: Member, indent: int, laned: bool) -> None:
        node = member.node
        kind, name = HELD[str(node.dtype)], f"v{node.number}"
        begin = BEGIN.get(node.name) or ("-INFINITY" if node.name == "max" else "INFINITY")
        if node.name == "argmax":
            self._emit(f"{HELD[str(node.inputs[0].dtype)]} {name}_best = 0; I {name} = -1;", indent)
        elif laned:
            self._emit(f"{kind} {name}_[{LANES}]; for (int l = 0; l < {LANES}; l++) {name}_[l] = {begin};", indent)
        else:
            self._emit(f"{kind} {name} = {begin};", indent)

    def _accumulate(self, loop: Loop, member: Member, indent: int, lane: str) -> None:
        node = member.node
        value = self._operand(loop, member, 0)
        if node.name == "argmax":
            (axis,) = dict(node.attributes)["axes"]
            place = f"i{member.axes[axis]}" if member.axes[axis] >= 0 else "0"
            better = f"v{node.number} < 0 || {value} > v{node.number}_best || ({value} != {value} && v{node.number}_best == v{node.number}_best)"
            self._emit(f"if ({better}) {{ v{node.number}_best = {value}; v{node.number} = {place}; }}", indent)
            return
        if self._in_register(loop, member):
            target = f"v{node.number}_[{lane}]" if lane else f"v{node.number}"
        else:
            target = self._entry(self.places[node], member.strides)
        self._emit(f"{target} = {JOIN[node.name].format(target, value)};", indent)

    def _end(self, loop: Loop, member: Member, indent: int, laned: bool) -> None:
        node = member.node
        name = f"v{node.number}"
        if laned:
            self._emit(f"for (int k = {LANES // 2}; k; k /= 2) for (int l = 0; l < k; l++)", indent)
            self._emit(f"{name}_[l] = {JOIN[node.name].format(f'{name}_[l]', f'{name}_[l + k]')};", indent + 1)
            self._emit(f"const {HELD[str(node.dtype)]} {name} = {name}_[0];", indent)
        if node in self.stored:
            self._emit(f"{self._entry(self.places[node], member.strides)} = {name};", indent)

    # --- values

    def _value(self, loop: Loop, member: Member, indent: int) -> None:
        node = member.node
        if node.kind == "reduce":  # over axes of length 1
            value = "0" if node.name == "argmax" else self._operand(loop, member, 0)
        elif node.kind == "take":
            value = self._gathered(loop, member)
        else:
            value = expression(node, [self._operand(loop, member, i) for i in range(len(node.inputs))])
        self._emit(f"const {HELD[str(node.dtype)]} v{node.number} = {value};", indent)

    def _operand(self, loop: Loop, member: Member, position: int) -> str:
        node = member.node.inputs[position]
        place = self.places[node]
        root = place.root
        if root.name == "number":
            value = dict(root.attributes)["value"]
            if root.dtype.kind != "f":
                return literal(value, root.dtype)
            if root not in self.numbers:
                self.numbers.append(root)
            return f"c{self.numbers.index(root)}"
        inside = loop.members.get(root)
        if inside is not None and _in_scope(loop, dict(_paths(self.blocks[id(loop)])), root, member.node):
            return f"v{root.number}"
        before = len(member.axes) - len(place.strides)
        return self._entry(place, along(place.strides, member.axes[before:], loop))

    def _gathered(self, loop: Loop, member: Member) -> str:
        """An entry of the first operand whose place along one axis is an entry of the second."""
        node = member.node
        axis = dict(node.attributes)["axis"]
        source, index = (self.places[one] for one in node.inputs)
        count = node.inputs[1].ndim
        strides = (*source.strides[:axis], *[ZERO] * count, *source.strides[axis + 1 :])
        entry = self._entry(source, along(strides, member.axes, loop))
        read = self._operand_at(loop, member, 1, member.axes[axis : axis + count], index)
        name, _, inside = entry.partition("[")
        return f"{name}[(I){read} * {source.strides[axis]} + {inside}"

    def _operand_at(self, loop: Loop, member: Member, position: int, axes: tuple[int, ...], place: Place) -> str:
        inside = loop.members.get(place.root)
        if inside is not None and _in_scope(loop, dict(_paths(self.blocks[id(loop)])), place.root, member.node):
            return f"v{place.root.number}"
        return self._entry(place, along(place.strides, axes, loop))

    # --- products and joins

    def _product(self, node: Node) -> None:
        sides = [self.schedule.source(node, one) for one in node.inputs]
        left, right = sides
        m, k, n = node.shape[-2], node.inputs[0].shape[-1], node.shape[-1]
        loops = node.shape[:-2]
        self._emit("")
        self._emit(f"// {node.label}: {m} x {k} times {k} x {n}")
        for axis, dim in enumerate(loops):
            self._emit(f"for (I i{axis} = 0; i{axis} < {dim}; i{axis}++)", axis)

        def outer(place: Place) -> str:
            strides = (ZERO,) * (len(loops) + 2 - len(place.strides)) + place.strides
            return "&" + self._entry(place, strides[: len(loops)])

        one, lda = _order(left, node.inputs[0].shape)
        other, ldb = _order(right, node.inputs[1].shape)
        target = Place(node, ZERO, packed(node.shape))
        single = node.dtype == np.float32
        call = "gemm" if single else "gemmd"
        width = n
        self._emit(
            f"{call}(101, {one}, {other}, {m}, {n}, {k}, 1, {outer(left)}, {lda}, {outer(right)}, {ldb}, 0, "
            f"{outer(target)}, {width});",
            len(loops),
        )

    def _concatenation(self, node: Node) -> None:
        axis, begin = dict(node.attributes)["axis"], 0
        whole = packed(node.shape)
        for part in node.inputs:
            place = self.places[part]
            if self.home.get(place.root, (None, ZERO)) != (node, _before(node, begin)):
                loop = Loop(part.shape)
                target = Place(node, whole[axis].times(begin) if whole[axis] != ZERO else ZERO, whole)
                for i, dim in enumerate(part.shape):
                    self._emit(f"for (I i{i} = 0; i{i} < {dim}; i{i}++)", i)
                member = Member(Node("copy", "elementwise", (part,), part.shape, part.dtype), whole, tuple(range(part.ndim)), part.ndim, 0, False)
                value = self._operand(loop, member, 0)
                self._emit(f"{self._entry(target, whole)} = {value};", part.ndim)
            begin += part.shape[axis]


def _before(node: Node, begin: int) -> Size:
    axis = dict(node.attributes)["axis"]
    return size((begin, *node.shape[axis + 1 :])) if begin else ZERO


def _order(place: Place, shape: tuple) -> tuple[int, str]:
    """111 or 112, as CBLAS calls the matrix as it lies and its transpose, and the length of a row there."""
    (rows, columns), (m, n) = place.strides[-2:], shape[-2:]
    if columns in (ZERO, Size(1)) and not (n is not N and n == 1 and rows == Size(1) and m is N):
        return 111, str(rows if rows != ZERO else n)
    return 112, str(columns if columns != ZERO else m)


def _members(block: Block) -> Iterator[Member]:
    for part in block.parts:
        if isinstance(part, Block):
            yield from _members(part)
        else:
            yield part


def _paths(block: Block, path: tuple[int, ...] = ()) -> Iterator[tuple[Node, tuple[int, ...]]]:
    """For every member the blocks around it."""
    for part in block.parts:
        if isinstance(part, Block):
            yield from _paths(part, (*path, id(part)))
        else:
            yield part.node, path


def _in_scope(loop: Loop, path: dict[Node, tuple[int, ...]], node: Node, user: Node) -> bool:
    """Whether the value of a node is in a variable where the user is computed."""
    member = loop.members[node]
    own = path[node][: member.depth] if node.kind == "reduce" else path[node]
    return not member.late and path[user][: len(own)] == own


def _blocks(schedule: Schedule, loop: Loop) -> Block:
    """The members in nested blocks: what awaits a reduction over an inner axis comes after the block of that axis."""
    order = {node: number for number, node in enumerate(schedule.nodes)}
    ordered = sorted(loop.members.values(), key=lambda member: (member.stage, order[member.node]))
    return _nested(schedule, 0, ordered)


def _nested(schedule: Schedule, depth: int, members: list[Member]) -> Block:
    block = Block(depth)
    inner: list[Member] = []

    def close() -> None:
        if inner:
            block.parts.append(_nested(schedule, depth + 1, list(inner)))
            inner.clear()

    for member in members:
        work = sum(axis >= 0 for axis in member.axes)
        read = {schedule.places[one].root for one in member.node.inputs}
        sources = [other for other in inner if other.node in read]
        if any(other.node.kind == "reduce" and other.depth <= depth for other in sources):
            close()
        if work > depth:
            inner.append(member)
        else:
            if sources:
                close()
            block.parts.append(member)
    close()
    return block
