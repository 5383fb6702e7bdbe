"""A loop of a schedule as a CUDA kernel: its indices shared among threads, the formulas of its members within."""

from collections.abc import Iterable, Sequence
from typing import NamedTuple

from mlpcore.compiler.cuda.schedule import BLOCK, WARP, Shape, dims, length, reductions, shape
from mlpcore.compiler.cuda.storage import DeviceStorage
from mlpcore.compiler.formulas import HELD, STORED, begin, expression, join, literal
from mlpcore.compiler.graph import Node
from mlpcore.compiler.places import ONE, ZERO, Place, Size
from mlpcore.compiler.schedule import Loop, Member, Strides, along


class Kernel(NamedTuple):
    """A printed kernel: its arguments are ``arrays``, the partial results of ``sums``, ``numbers``, and the rows (and chunks)."""

    name: str
    loop: Loop
    shape: Shape
    arrays: list[Node]
    sums: list[Node]
    numbers: list[Node]
    joins: bool = False


class KernelPrinter:
    """The text of one loop; the value of node 7 is the variable ``v7``, and ``u0``, ``u1`` are entries that were read.

    What is computed for the outer indices is known to all threads of a row. The inner ones are walked as often as sums
    have to be awaited; what several walks need is computed in each.
    """

    def __init__(self, storage: DeviceStorage, loop: Loop, name: str) -> None:
        self.storage, self.loop, self.name = storage, loop, name
        self.shape, self.dims = shape(loop), dims(loop)
        self.order = {node: i for i, node in enumerate(storage.schedule.nodes)}
        self.arrays: list[Node] = []
        self.numbers: list[Node] = []
        self.lines: list[str] = []
        self.read: list[dict[str, str]] = [{}]  # entries and their variables, outside and inside a walk
        self.count = 0
        self.depth = len(self.shape.outer)
        members = sorted(loop.members.values(), key=lambda one: self.order[one.node])
        self.reduced = reductions(members)
        found = {one.node for one in self.reduced}
        self.rows = [one for one in members if one.node not in found and one.work <= self.depth and not self.shape.sums]
        self.entries = [one for one in members if one.node not in found and one not in self.rows]

    def print(self) -> tuple[str, list[Kernel]]:
        """The kernels of the loop: one, or for sums another that adds up the partial results."""
        labels = ", ".join(dict.fromkeys(node.label for node in self.loop.members if node.label))
        body = self._sums() if self.shape.sums else self._rows()
        kernel = Kernel(self.name, self.loop, self.shape, self.arrays, [], self.numbers)
        if not self.shape.sums:
            return f"// {labels}\n{self._function(self.name, body, kernel)}", [kernel]
        nodes = [one.node for one in self.reduced]
        first = kernel._replace(sums=nodes)
        text = self._function(self.name, body, first)
        self.arrays, self.numbers, self.read = [], [], [{}]
        joined = self._join()
        second = Kernel(f"{self.name}_join", self.loop, self.shape, self.arrays, nodes, [], True)
        return f"// {labels}\n{text}\n{self._function(second.name, joined, second)}", [first, second]

    def _function(self, name: str, body: Iterable[str], kernel: Kernel) -> str:
        given = [f"{STORED[str(node.dtype)]} *a{i}" for i, node in enumerate(kernel.arrays)]
        given += [f"{HELD[str(node.dtype)]} *s{node.number}" for node in kernel.sums]
        given += [f"{HELD[str(node.dtype)]} c{i}" for i, node in enumerate(kernel.numbers)]
        given += ["I rows", *["I chunks"] * bool(kernel.sums)]
        head = f'extern "C" __global__ void __launch_bounds__({BLOCK}) {name}({", ".join(given)}) {{'
        return "\n".join([head, "  const I n = rows;", *(f"  {line}" for line in body), "}"])

    # --- rows

    def _rows(self) -> list[str]:
        threads = self.shape.threads
        outer = length(self.loop, self.shape.outer)
        # Threads behind the last row do its work once more, for the others of their warp, and store nothing.
        self.lines = [
            f"const int t = threadIdx.x % {threads};",
            f"I row = (I)blockIdx.x * {BLOCK // threads} + threadIdx.x / {threads};",
            f"const bool stores = row < {outer};",
            f"row = stores ? row : {outer} - 1;",
            *self._indices(self.shape.outer, "row"),
        ]
        last = max((one.stage for one in self.loop.members.values()), default=0)
        for stage in range(last + 1):
            here = [one for one in self.rows if one.stage == stage]
            for member in here:
                self._value(member)
            for member in here:  # after every value: what is overwritten may be read by another member
                self._store(member, f"v{member.node.number}", ["stores", *["t == 0"] * (threads > 1)])
            self._walk(stage)
        return self.lines

    def _walk(self, stage: int) -> None:
        """One walk along the inner indices, for the sums that await no other and what is stored meanwhile."""
        sums = [one for one in self.reduced if one.stage == stage + 1]
        stored = [one for one in self.entries if one.stage == stage and one.node in self.storage.stored]
        if not sums and not stored:
            return
        for one in sums:
            self.lines += _begin(one)
        self._enter(f"for (I e = t; e < {length(self.loop, self.shape.inner)}; e += {self.shape.threads}) {{", "e")
        self._members([*sums, *stored])
        for one in sums:
            self.lines += [f"  {line}" for line in self._step(one)]
        for one in stored:
            self._store(one, f"v{one.node.number}", ["stores"])
        self._leave()
        for one in sums:
            self.lines += _joined(one, self.shape.threads)
        if sums and self.shape.threads > WARP:
            self.lines += ["__syncthreads();", *(line for one in sums for line in _of_block(one))]
        for one in sums:
            if one.node in self.storage.stored:
                self._store(one, f"v{one.node.number}", ["stores", *["t == 0"] * (self.shape.threads > 1)])

    def _enter(self, head: str, flat: str) -> None:
        self.lines += [head, *(f"  {line}" for line in self._indices(self.shape.inner, flat))]
        self.read.append({})

    def _leave(self) -> None:
        self.lines.append("}")
        self.read.pop()

    def _members(self, wanted: Sequence[Member]) -> None:
        """The values of an index that some members need, these among them."""
        needed, waiting = set(), list(wanted)
        inside = {one.node: one for one in self.entries}
        while waiting:
            one = waiting.pop()
            if one.node in needed:
                continue
            needed.add(one.node)
            waiting += [inside[root] for root in self._roots(one) if root in inside]
        for one in self.entries:
            if one.node in needed:
                self._value(one)

    def _roots(self, member: Member) -> list[Node]:
        return [self.storage.places[one].root for one in member.node.inputs]

    # --- sums

    def _sums(self) -> list[str]:
        across = self.shape.threads
        outer, inner = length(self.loop, self.shape.outer), length(self.loop, self.shape.inner)
        self.lines = [
            *self._results(),
            "const I chunk = blockIdx.x % chunks;",
            f"const I all = {inner}, each = (all + chunks - 1) / chunks;",
            "const I first = chunk * each, end = first + each < all ? first + each : all;",
        ]
        for one in self.reduced:
            self.lines += _begin(one)
        self._enter(f"for (I e = first + t; e < end; e += {BLOCK // across}) {{", "e")
        stored = [one for one in self.entries if one.node in self.storage.stored]
        self._members([*self.reduced, *stored])
        for one in self.reduced:
            self.lines += [f"  {line}" for line in self._step(one)]
        for one in stored:  # after every entry is read: it may be written over
            self._store(one, f"v{one.node.number}", ["stores"])
        self._leave()
        for one in self.reduced:
            name = f"v{one.node.number}"
            self.lines += _across(one, across)
            part = f"s{one.node.number}[chunk * {outer} + row] = {name};"
            self.lines.append(f"if (stores && t == 0) {{ if (chunks == 1) {self._entry(one)} = {name}; else {part} }}")
        return self.lines

    def _results(self) -> list[str]:
        """The index of a result, and the place of a thread among those that make it."""
        across, outer = self.shape.threads, length(self.loop, self.shape.outer)
        return [
            f"const int x = threadIdx.x % {across}, t = threadIdx.x / {across};",
            f"I row = blockIdx.x / chunks * {across} + x;",
            f"const bool stores = row < {outer};",
            f"row = stores ? row : {outer} - 1;",
            *self._indices(self.shape.outer, "row"),
        ]

    def _join(self) -> list[str]:
        across, outer = self.shape.threads, length(self.loop, self.shape.outer)
        lines = [line.replace("blockIdx.x / chunks", "(I)blockIdx.x") for line in self._results()]
        for one in self.reduced:
            name, part = f"v{one.node.number}", f"s{one.node.number}[e * {outer} + row]"
            lines += _begin(one)
            lines.append(
                f"for (I e = t; e < chunks; e += {BLOCK // across}) {name} = {join(one.node).format(name, part)};"
            )
            lines += [*_across(one, across), f"if (stores && t == 0) {self._entry(one)} = {name};"]
        return lines

    # --- values

    def _indices(self, axes: tuple[int, ...], flat: str) -> list[str]:
        """The indices of some axes, from the number of the index among all of them."""
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
        """One more entry of a reduction."""
        value, name = self._operand(member, 0), f"v{member.node.number}"
        if member.node.name != "argmax":
            return [f"{name} = {join(member.node).format(name, value)};"]
        (axis,) = dict(member.node.attributes)["axes"]
        return [f"if ({_better(value, f'{name}_best', f'i{member.axes[axis]}', name)}) "
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
        strides = along(place.strides, axes, self.loop)
        inside = any(strides[a] != ZERO for a in self.shape.inner) and len(self.read) > 1
        return self._loaded(self._at(place, strides), root, self.read[-1 if inside else 0], inside)

    def _loaded(self, entry: str, root: Node, known: dict[str, str], inside: bool) -> str:
        for scope in self.read:
            if entry in scope:
                return scope[entry]
        if not inside and len(self.read) > 1:
            known = self.read[-1]  # first asked for within a walk
        known[entry] = f"u{self.count}"
        self.count += 1
        self._emit(f"const {HELD[str(root.dtype)]} {known[entry]} = {entry};")
        return known[entry]

    def _gathered(self, member: Member) -> str:
        node, axis = member.node, dict(member.node.attributes)["axis"]
        source, index = (self.storage.places[one] for one in node.inputs)
        count = node.inputs[1].ndim
        strides = (*source.strides[:axis], *[ZERO] * count, *source.strides[axis + 1 :])
        name, _, rest = self._at(source, along(strides, member.axes, self.loop)).partition("[")
        taken = self._operand_at(member, index, member.axes[axis : axis + count])
        return f"{name}[(I){taken} * {source.strides[axis]} + {rest}"

    def _store(self, member: Member, value: str, conditions: Iterable[str]) -> None:
        if member.node not in self.storage.stored:
            return
        axes = range(member.depth if member.node.kind == "reduce" and not member.short else member.work, len(self.dims))
        reduced = self.shape.inner if member in self.reduced else ()
        guards = [*conditions, *(f"i{a} == 0" for a in axes if a not in reduced and not (self._outside(member, a)))]
        self._emit(f"if ({' && '.join(guards)}) {self._entry(member)} = {value};")

    def _outside(self, member: Member, axis: int) -> bool:
        """Whether an axis is walked within, where a member of rows is known before."""
        return member in self.rows and axis in self.shape.inner

    def _entry(self, member: Member) -> str:
        return self._at(self.storage.places[member.node], member.strides)

    def _at(self, place: Place, strides: Strides) -> str:
        whole, begun = self.storage.whole(place.root)
        if whole not in self.arrays:
            self.arrays.append(whole)
        start: Size = begun.plus(place.offset)
        terms = [f"i{a}" if s == ONE else f"i{a} * {s}" for a, s in enumerate(strides) if s != ZERO]
        if start != ZERO or not terms:
            terms.append(str(start))
        return f"a{self.arrays.index(whole)}[{' + '.join(terms)}]"

    def _number(self, node: Node) -> str:
        if node not in self.numbers:
            self.numbers.append(node)
        return f"c{self.numbers.index(node)}"


def _better(value: str, best: str, place: str, at: str) -> str:
    """Whether a value at a place comes before the best one: larger, or NaN, or the same and earlier."""
    nan = f"({value} != {value})", f"({best} != {best})"
    same = f"({value} == {best} || ({nan[0]} && {nan[1]}))"
    return f"{at} < 0 || (!{nan[1]} && ({value} > {best} || {nan[0]})) || ({same} && {place} < {at})"


def _begin(member: Member) -> list[str]:
    node, kind = member.node, HELD[str(member.node.dtype)]
    if node.name != "argmax":
        return [f"{kind} v{node.number} = {begin(node)};"]
    return [f"{HELD[str(node.inputs[0].dtype)]} v{node.number}_best = 0; I v{node.number} = -1;"]


def _joined(member: Member, threads: int) -> list[str]:
    """The results of the threads of a row as one that all of them have; of a block, of each of its warps."""
    node, name = member.node, f"v{member.node.number}"
    most = min(threads, WARP)
    if most == 1:
        return []
    head = f"for (int k = {most // 2}; k; k /= 2) {{"
    other = f"__shfl_xor_sync(0xffffffffu, {name}, k, 32)"
    if node.name != "argmax":
        lines = [f"const {HELD[str(node.dtype)]} other = {other};", f"{name} = {join(node).format(name, 'other')};"]
    else:
        best = f"{name}_best"
        lines = [
            f"const {HELD[str(node.inputs[0].dtype)]} best = __shfl_xor_sync(0xffffffffu, {best}, k, 32);",
            f"const I at = {other};",
            f"if (at >= 0 && ({_better('best', best, 'at', name)})) {{ {best} = best; {name} = at; }}",
        ]
    lines = [head, *(f"  {line}" for line in lines), "}"]
    if threads == WARP or threads < WARP:
        return lines
    names = [(name, HELD[str(node.dtype)]), *([(f"{name}_best", HELD[str(node.inputs[0].dtype)])] * (node.name == "argmax"))]
    for one, kind in names:
        lines += [f"__shared__ {kind} {one}_all[{BLOCK // WARP}];", f"if (t % {WARP} == 0) {one}_all[t / {WARP}] = {one};"]
    return lines


def _of_block(member: Member) -> list[str]:
    """The results of the warps of a block as one, in their order."""
    node, name = member.node, f"v{member.node.number}"
    if node.name != "argmax":
        step = f"{name} = {join(node).format(name, f'{name}_all[k]')};"
        return [f"{name} = {name}_all[0];", f"for (int k = 1; k < {BLOCK // WARP}; k++) {step}"]
    best, at, other = f"{name}_best", f"{name}_all[k]", f"{name}_best_all[k]"
    step = f"if ({at} >= 0 && ({_better(other, best, at, name)})) {{ {best} = {other}; {name} = {at}; }}"
    return [f"{name} = -1;", f"for (int k = 0; k < {BLOCK // WARP}; k++) {step}"]


def _across(member: Member, across: int) -> list[str]:
    """The results of threads that share the inner indices of one sum, as one, by memory that the next sum takes too."""
    name, node = f"v{member.node.number}", member.node
    all_, at = f"{name}_all", "threadIdx.x"
    return [
        f"{HELD[str(node.dtype)]} *const {all_} = ({HELD[str(node.dtype)]} *)shared;",
        f"{all_}[{at}] = {name};",
        "__syncthreads();",
        f"for (int k = {BLOCK // across // 2}; k; k /= 2) {{",
        f"  if (t < k) {all_}[{at}] = {join(node).format(f'{all_}[{at}]', f'{all_}[{at} + k * {across}]')};",
        "  __syncthreads();",
        "}",
        f"{name} = {all_}[{at}];",
    ]
