"""A loop of a schedule as a CUDA kernel: its indices shared among threads, the formulas of its members within."""

from collections.abc import Iterable, Sequence
from typing import NamedTuple

from mlpcore.compiler.cuda import joining
from mlpcore.compiler.cuda.schedule import BLOCK, WARP, ThreadLayout, length
from mlpcore.compiler.cuda.storage import DeviceStorage
from mlpcore.compiler.cuda.values import ValuePrinter
from mlpcore.compiler.cuda.wide import WidePrinter, width
from mlpcore.compiler.formulas import HELD, STORED, join
from mlpcore.compiler.graph import Node
from mlpcore.compiler.schedule import Loop, Member


class Kernel(NamedTuple):
    """A printed kernel; its arguments: ``arrays``, the partial results of ``sums``, ``numbers``, the rows, and for sums
    the chunks."""

    name: str
    loop: Loop
    layout: ThreadLayout
    arrays: list[Node]
    sums: list[Node]
    numbers: list[Node]
    joins: bool = False
    width: int = 1


class KernelPrinter(ValuePrinter):
    """The text of one loop, and of single numbers computed ``after`` it, see `joined`.

    What is computed for the outer indices is known to all threads of a row. The inner ones are walked as often as sums
    have to be awaited; what several walks need is computed in each.
    """

    def __init__(self, storage: DeviceStorage, loop: Loop, name: str, after: Loop | None = None) -> None:
        super().__init__(storage, loop)
        self.name, self.after = name, after

    def print(self) -> tuple[str, list[Kernel]]:
        """The kernels of the loop: one, or for sums another that adds up the partial results."""
        nodes = [*self.loop.members, *(self.after.members if self.after else ())]
        labels = ", ".join(dict.fromkeys(node.label for node in nodes if node.label))
        count = width(self.storage, self.loop)
        if count > 1:
            printer = WidePrinter(self.storage, self.loop, count)
            body = printer.body()
            kernel = Kernel(self.name, self.loop, self.layout, printer.arrays, [], printer.numbers, width=count)
            return f"// {labels}\n{self._function(self.name, body, kernel)}", [kernel]
        body = self._sums() if self.layout.sums else self._rows()
        kernel = Kernel(self.name, self.loop, self.layout, self.arrays, [], self.numbers)
        if not self.layout.sums:
            return f"// {labels}\n{self._function(self.name, body, kernel)}", [kernel]
        nodes = [one.node for one in self.reduced]
        first = kernel._replace(sums=nodes)
        text = self._function(self.name, [*body, *self._single("chunks == 1 && t == 0")], first)
        self.arrays, self.numbers, self.read = [], [], [{}]
        body = [*self._join(), *self._single("t == 0")]
        second = Kernel(f"{self.name}_join", self.loop, self.layout, self.arrays, nodes, self.numbers, True)
        return f"// {labels}\n{text}\n{self._function(second.name, body, second)}", [first, second]

    def _single(self, condition: str) -> list[str]:
        """The single numbers that are computed after the only result."""
        if self.after is None:
            return []
        printer = ValuePrinter(self.storage, self.after)
        printer.arrays, printer.numbers = self.arrays, self.numbers
        for member in printer.rows:
            printer._value(member)
        for member in printer.rows:
            printer._store(member, f"v{member.node.number}", [])
        return [f"if ({condition}) {{", *(f"  {line}" for line in printer.lines), "}"]

    def _function(self, name: str, body: Iterable[str], kernel: Kernel) -> str:
        given = [f"{STORED[str(node.dtype)]} *a{i}" for i, node in enumerate(kernel.arrays)]
        given += [f"{HELD[str(node.dtype)]} *s{node.number}" for node in kernel.sums]
        given += [f"{HELD[str(node.dtype)]} c{i}" for i, node in enumerate(kernel.numbers)]
        given += ["I rows", *["I chunks"] * bool(kernel.sums)]
        head = f'extern "C" __global__ void __launch_bounds__({BLOCK}) {name}({", ".join(given)}) {{'
        return "\n".join([head, "  const I n = rows;", *(f"  {line}" for line in body), "}"])

    # --- rows

    def _rows(self) -> list[str]:
        threads = self.layout.threads
        outer = length(self.loop, self.layout.outer)
        # Threads behind the last row do its work once more, for the others of their warp, and store nothing.
        self.lines = [
            f"const int t = threadIdx.x % {threads};",
            f"I row = (I)blockIdx.x * {BLOCK // threads} + threadIdx.x / {threads};",
            f"const bool stores = row < {outer};",
            f"row = stores ? row : {outer} - 1;",
            *self._indices(self.layout.outer, "row"),
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
            self.lines += joining.begun(one)
        self._enter(f"for (I e = t; e < {length(self.loop, self.layout.inner)}; e += {self.layout.threads}) {{", "e")
        self._members([*sums, *stored])
        for one in sums:
            self.lines += [f"  {line}" for line in self._step(one)]
        for one in stored:
            self._store(one, f"v{one.node.number}", ["stores"])
        self._leave()
        for one in sums:
            self.lines += joining.of_row(one, self.layout.threads)
        if sums and self.layout.threads > WARP:
            self.lines += ["__syncthreads();", *(line for one in sums for line in joining.of_block(one))]
        for one in sums:
            if one.node in self.storage.stored:
                self._store(one, f"v{one.node.number}", ["stores", *["t == 0"] * (self.layout.threads > 1)])

    def _enter(self, head: str, flat: str) -> None:
        self.lines += [head, *(f"  {line}" for line in self._indices(self.layout.inner, flat))]
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
        across = self.layout.threads
        outer, inner = length(self.loop, self.layout.outer), length(self.loop, self.layout.inner)
        self.lines = [
            *self._results("blockIdx.x / chunks"),
            "const I chunk = blockIdx.x % chunks;",
            f"const I all = {inner}, each = (all + chunks - 1) / chunks;",
            "const I first = chunk * each, end = first + each < all ? first + each : all;",
        ]
        for one in self.reduced:
            self.lines += joining.begun(one)
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
            self.lines += joining.of_sum(one, across)
            part = f"s{one.node.number}[chunk * {outer} + row] = {name};"
            self.lines.append(f"if (stores && t == 0) {{ if (chunks == 1) {self._entry(one)} = {name}; else {part} }}")
        return self.lines

    def _results(self, block: str) -> list[str]:
        """The index of a result in this block of results, and the place of a thread among those that make it."""
        across, outer = self.layout.threads, length(self.loop, self.layout.outer)
        return [
            f"const int x = threadIdx.x % {across}, t = threadIdx.x / {across};",
            f"I row = (I)({block}) * {across} + x;",
            f"const bool stores = row < {outer};",
            f"row = stores ? row : {outer} - 1;",
            *self._indices(self.layout.outer, "row"),
        ]

    def _join(self) -> list[str]:
        across, outer = self.layout.threads, length(self.loop, self.layout.outer)
        lines = self._results("blockIdx.x")
        for one in self.reduced:
            name, part = f"v{one.node.number}", f"s{one.node.number}[e * {outer} + row]"
            lines += joining.begun(one)
            lines.append(
                f"for (I e = t; e < chunks; e += {BLOCK // across}) {name} = {join(one.node).format(name, part)};"
            )
            lines += [*joining.of_sum(one, across), f"if (stores && t == 0) {self._entry(one)} = {name};"]
        return lines
