"""Prints the body of a CUDA kernel of sums over outer axes: partial results of chunks, which the last block adds up."""

from mlpcore.compiler.cuda import thread_reductions
from mlpcore.compiler.cuda.passes import PassPrinter
from mlpcore.compiler.cuda.schedule import BLOCK, length
from mlpcore.compiler.formulas import HELD, combine, identity


class SumPrinter(PassPrinter):
    """Prints the sums of one loop."""

    def body(self) -> list[str]:
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
