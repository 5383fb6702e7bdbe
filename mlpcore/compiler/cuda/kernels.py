"""Prints a loop of a schedule as a CUDA kernel: indices distributed over threads, and the formulas of its members."""

from collections.abc import Iterable, Sequence
from typing import NamedTuple

from mlpcore.compiler.cuda import thread_reductions
from mlpcore.compiler.cuda.schedule import BLOCK, WARP, ThreadLayout, length
from mlpcore.compiler.cuda.storage import DeviceStorage
from mlpcore.compiler.cuda.values import ValuePrinter
from mlpcore.compiler.cuda.wide import WidePrinter, width
from mlpcore.compiler.formulas import HELD, STORED, combine, identity
from mlpcore.compiler.graph import Node
from mlpcore.compiler.schedule import Loop, Member


class Kernel(NamedTuple):
    """A printed kernel.

    Its arguments: ``arrays``, partial results of ``sums`` and the counts of blocks that have written theirs, the array
    of ``numbers`` if it needs some, the distances of all these from member to member, the number of rows and, for sums,
    the number of chunks.
    """

    name: str
    loop: Loop
    layout: ThreadLayout
    arrays: list[Node]
    sums: list[Node]
    numbers: list[Node]
    width: int = 1


class KernelPrinter(ValuePrinter):
    """Prints one loop, and the scalars of its ``epilogue``, see `scalar_epilogue`.

    Members of the outer indices are computed by every thread of a row. There is one pass over the inner indices for
    each stage of sums; values that several passes need are computed again in each.
    """

    index_type = "I"  # of the indices of a pass

    def __init__(self, storage: DeviceStorage, loop: Loop, name: str, epilogue: Loop | None = None) -> None:
        super().__init__(storage, loop)
        self.name, self.epilogue = name, epilogue

    def print(self) -> tuple[str, Kernel]:
        """The text and the kernel of the loop."""
        nodes = [*self.loop.members, *(self.epilogue.members if self.epilogue else ())]
        labels = ", ".join(dict.fromkeys(node.label for node in nodes if node.label))
        count = width(self.storage, self.loop)
        if count > 1:
            printer = WidePrinter(self.storage, self.loop, count)
            body = printer.body()
            kernel = Kernel(self.name, self.loop, self.layout, printer.arrays, [], printer.numbers, width=count)
        elif self.layout.sums:
            body = [*self._sums(), *self._epilogue_lines()]
            sums = [member.node for member in self.reduced]
            kernel = Kernel(self.name, self.loop, self.layout, self.arrays, sums, self.numbers)
        else:
            body = self._rows()
            kernel = Kernel(self.name, self.loop, self.layout, self.arrays, [], self.numbers)
        return f"// {labels}\n{self._function(self.name, body, kernel)}", kernel

    def _epilogue_lines(self) -> list[str]:
        """The lines in which the thread that has the single result computes the scalars of the epilogue."""
        if self.epilogue is None:
            return []
        printer = ValuePrinter(self.storage, self.epilogue)
        printer.arrays, printer.numbers = self.arrays, self.numbers
        for member in printer.rows:
            printer._value(member)
        for member in printer.rows:
            printer._store(member, f"v{member.node.number}", [])
        return ["if (t == 0) {", *(f"  {line}" for line in printer.lines), "}"]

    def _function(self, name: str, body: Iterable[str], kernel: Kernel) -> str:
        arrays = {f"a{i}": STORED[str(node.dtype)] for i, node in enumerate(kernel.arrays)}
        arrays |= {f"s{node.number}": HELD[str(node.dtype)] for node in kernel.sums}
        arrays |= {"written": "unsigned"} if kernel.sums else {}
        scalars = ["rows", *["chunks"] * bool(kernel.sums)]
        constants = [constant(self.storage, i, node) for i, node in enumerate(kernel.numbers)]
        return kernel_text(name, arrays, bool(constants), scalars, [*constants, *body])

    # --- rows

    def _rows(self) -> list[str]:
        """The body of a kernel in which each row has threads of its own."""
        threads = self.layout.threads
        outer = length(self.loop, self.layout.outer)
        # Threads beyond the last row repeat its work, so that whole warps take part in shuffles, and store nothing.
        self.lines = [
            f"const int t = threadIdx.x % {threads};",
            f"I row = (I)blockIdx.x * {BLOCK // threads} + threadIdx.x / {threads};",
            f"const bool stores = row < {outer};",
            f"row = stores ? row : {outer} - 1;",
            *self._indices(self.layout.outer, "row"),
        ]
        self._stages()
        return self.lines

    def _stages(self) -> None:
        """The values of a row, stage after stage, with the pass over its entries in each."""
        last = max((member.stage for member in self.loop.members.values()), default=0)
        for stage in range(last + 1):
            members = [member for member in self.rows if member.stage == stage]
            for member in members:
                self._value(member)
            for member in members:  # after all values: a store may overwrite what another member reads
                self._store(member, f"v{member.node.number}", ["stores", *["t == 0"] * (self.layout.threads > 1)])
            self._row_pass(stage)

    def _row_pass(self, stage: int) -> None:
        """One pass over the inner indices: the sums of this stage, and the values to be stored."""
        sums = [member for member in self.reduced if member.stage == stage + 1]
        stored = [member for member in self.entries if member.stage == stage and member.node in self.storage.stored]
        if not sums and not stored:
            return
        for member in sums:
            self.lines += thread_reductions.initial(member)
        count, threads = length(self.loop, self.layout.inner), self.layout.threads
        self._enter(f"for ({self.index_type} e = t; e < {count}; e += {threads}) {{", "e")
        self._members([*sums, *stored])
        for member in sums:
            self.lines += [f"  {line}" for line in self._step(member)]
        for member in stored:
            self._store(member, f"v{member.node.number}", ["stores"])
        self._leave()
        for member in sums:
            self.lines += thread_reductions.reduce_row(member, self.layout.threads)
        if sums and self.layout.threads > WARP:
            self.lines += [
                "__syncthreads();",
                *(line for member in sums for line in thread_reductions.reduce_warps(member)),
            ]
        for member in sums:
            if member.node in self.storage.stored:
                self._store(member, f"v{member.node.number}", ["stores", *["t == 0"] * (self.layout.threads > 1)])

    def _enter(self, head: str, flat: str) -> None:
        """Open the loop ``head`` over the inner indices, whose flat index is the variable ``flat``."""
        self.lines += [head, *(f"  {line}" for line in self._indices(self.layout.inner, flat))]
        self.read.append({})

    def _leave(self) -> None:
        """Close the loop over the inner indices."""
        self.lines.append("}")
        self.read.pop()

    def _members(self, members: Sequence[Member]) -> None:
        """Print the values, at one inner index, of these members and of all members that they depend on."""
        required, pending = set(), list(members)
        inside = {member.node: member for member in self.entries}
        while pending:
            member = pending.pop()
            if member.node in required:
                continue
            required.add(member.node)
            pending += [inside[root] for root in self._roots(member) if root in inside]
        for member in self.entries:
            if member.node in required:
                self._value(member)

    def _roots(self, member: Member) -> list[Node]:
        return [self.storage.places[operand].root for operand in member.node.inputs]

    # --- sums

    def _sums(self) -> list[str]:
        """The body of a kernel of sums over outer axes.

        With several chunks each block has a partial result. The last block to write its own adds up those of all, in
        the order of the chunks. So the sum does not depend on which block is the last.
        """
        across = self.layout.threads
        outer, inner = length(self.loop, self.layout.outer), length(self.loop, self.layout.inner)
        self.lines = [
            f"const int x = threadIdx.x % {across}, t = threadIdx.x / {across};",
            f"I row = (I)(blockIdx.x / chunks) * {across} + x;",
            f"const bool stores = row < {outer};",
            f"row = stores ? row : {outer} - 1;",
            *self._indices(self.layout.outer, "row"),
            "const I chunk = blockIdx.x % chunks;",
            f"const I all = {inner}, each = (all + chunks - 1) / chunks;",
            "const I first = chunk * each, end = first + each < all ? first + each : all;",
        ]
        self._add_up(f"for (I e = first + t; e < end; e += {BLOCK // across}) {{")
        for member in self.reduced:
            self.lines += thread_reductions.reduce_block(member, across)
        partials = [f"s{member.node.number}[chunk * {outer} + row] = v{member.node.number};" for member in self.reduced]
        self.lines += [
            "if (chunks > 1) {",
            f"  if (stores && t == 0) {{ {' '.join(partials)} }}",
            "  if (!last_to_write(&written[blockIdx.x / chunks], chunks)) return;",
            *(f"  {line}" for line in self._combine()),
            "}",
        ]
        for member in self.reduced:
            self.lines.append(f"if (stores && t == 0) {self._entry(member)} = v{member.node.number};")
        return self.lines

    def _add_up(self, head: str) -> None:
        """The loop ``head`` over the inner indices of a thread, with the sums and the values to be stored."""
        for member in self.reduced:
            self.lines += thread_reductions.initial(member)
        self._enter(head, "e")
        stored = [member for member in self.entries if member.node in self.storage.stored]
        self._members([*self.reduced, *stored])
        for member in self.reduced:
            self.lines += [f"  {line}" for line in self._step(member)]
        for member in stored:  # after all reads: a store may overwrite what another member reads
            self._store(member, f"v{member.node.number}", ["stores"])
        self._leave()

    def _combine(self) -> list[str]:
        """The lines that add up the partial results of all chunks, read past a cache that may hold older ones."""
        across, outer = self.layout.threads, length(self.loop, self.layout.outer)
        lines = []
        for member in self.reduced:
            name, kind = f"v{member.node.number}", HELD[str(member.node.dtype)]
            partial = f"((volatile {kind} *)s{member.node.number})[e * {outer} + row]"
            lines += [
                f"{name} = {identity(member.node)};",
                f"for (I e = t; e < chunks; e += {BLOCK // across}) "
                f"{name} = {combine(member.node).format(name, partial)};",
                *thread_reductions.reduce_block(member, across),
            ]
        return lines


def constant(storage: DeviceStorage, position: int, node: Node) -> str:
    """The declaration of a floating constant, the one at this position among those of the kernel."""
    kind = HELD[str(node.dtype)]
    return f"const {kind} c{position} = *(const {kind} *)(numbers + {storage.number(node)});"


def kernel_text(
    name: str,
    arrays: dict[str, str],
    numbers: bool,
    scalars: Sequence[str],
    body: Iterable[str],
    bounds: str = str(BLOCK),
) -> str:
    """The text of a kernel with the pointers ``arrays`` and their types, then ``numbers``, distances and ``scalars``.

    ``bounds`` are the threads of a block and, after a comma, the least number of blocks that a multiprocessor can hold.
    """
    arrays = arrays | ({"numbers": "const double"} if numbers else {})
    parameters = [f"{kind} *{array}" for array, kind in arrays.items()]
    parameters += [f"Distances<{len(arrays)}> to_next", *(f"I {scalar}" for scalar in scalars)]
    # Without the condition, which is false for a network alone, NVRTC takes some stores of 16 bytes apart.
    moves = [f"  {array} += blockIdx.y * to_next.at[{i}];" for i, array in enumerate(arrays)]
    lines = ["const I n = rows;", "if (blockIdx.y) {", *moves, "}", *body]
    head = f'extern "C" __global__ void __launch_bounds__({bounds}) {name}({", ".join(parameters)}) {{'
    return "\n".join([head, *(f"  {line}" for line in lines), "}"])
