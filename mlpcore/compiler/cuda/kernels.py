"""Prints a loop of a schedule as a CUDA kernel: indices distributed over threads, and the formulas of its members."""

from mlpcore.compiler.cuda.kernel_text import Kernel, function_text
from mlpcore.compiler.cuda.passes import PassPrinter
from mlpcore.compiler.cuda.schedule import BLOCK, length
from mlpcore.compiler.cuda.storage import DeviceStorage
from mlpcore.compiler.cuda.sums import SumPrinter
from mlpcore.compiler.cuda.values import ValuePrinter
from mlpcore.compiler.cuda.wide import WidePrinter, width
from mlpcore.compiler.schedule import Loop


class KernelPrinter(PassPrinter):
    """Prints one loop, and the scalars of its ``epilogue``, see `scalar_epilogue`.

    Members of the outer indices are computed by every thread of a row. There is one pass over the inner indices for
    each stage of sums; values that several passes need are computed again in each.
    """

    def __init__(self, storage: DeviceStorage, loop: Loop, name: str, epilogue: Loop | None = None) -> None:
        super().__init__(storage, loop)
        self.name, self.epilogue = name, epilogue

    def print(self) -> tuple[str, Kernel]:
        """The text and the kernel of the loop."""
        nodes = [*self.loop.members, *(self.epilogue.members if self.epilogue else ())]
        labels = ", ".join(dict.fromkeys(node.label for node in nodes if node.label))
        count = width(self.storage, self.loop)
        if count > 1:
            wide = WidePrinter(self.storage, self.loop, count)
            body = wide.body()
            kernel = Kernel(self.name, self.loop, self.layout, wide.arrays, [], wide.numbers, width=count)
        elif self.layout.sums:
            sums = SumPrinter(self.storage, self.loop)
            body = [*sums.body(), *self._epilogue_lines(sums)]
            reduced = [member.node for member in sums.reduced]
            kernel = Kernel(self.name, self.loop, self.layout, sums.arrays, reduced, sums.numbers)
        else:
            body = self._rows()
            kernel = Kernel(self.name, self.loop, self.layout, self.arrays, [], self.numbers)
        return f"// {labels}\n{function_text(self.storage, kernel, body)}", kernel

    def _epilogue_lines(self, sums: SumPrinter) -> list[str]:
        """The lines in which the thread that has the single result computes the scalars of the epilogue."""
        if self.epilogue is None:
            return []
        printer = ValuePrinter(self.storage, self.epilogue)
        printer.arrays, printer.numbers = sums.arrays, sums.numbers
        for member in printer.rows:
            printer._value(member)
        for member in printer.rows:
            printer._store(member, f"v{member.node.number}", [])
        return ["if (t == 0) {", *(f"  {line}" for line in printer.lines), "}"]

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
