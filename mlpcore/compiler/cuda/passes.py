"""Prints passes over the inner indices of a loop: a loop in every thread, with the values and sums in it."""

from collections.abc import Sequence

from mlpcore.compiler.cuda import thread_reductions
from mlpcore.compiler.cuda.schedule import WARP, length
from mlpcore.compiler.cuda.values import ValuePrinter
from mlpcore.compiler.graph import Node
from mlpcore.compiler.schedule import Member


class PassPrinter(ValuePrinter):
    """Prints the values of a row in stages, each with a pass over its entries; or one pass that adds up columns."""

    index_type = "I"  # of the indices of a pass

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
