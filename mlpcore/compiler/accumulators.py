"""A reduction while its loop goes on: where the partial results are, how they begin and how they become one."""

from mlpcore.compiler.blocks import LANES
from mlpcore.compiler.formulas import HELD, begin, join
from mlpcore.compiler.schedule import Member

EVERY_LANE = f"for (I l = 0; l < {LANES}; l++)"


class Accumulator:
    """The lines that begin, continue and end the reduction of a member, in a loop with this axis of lanes.

    ``beside``: it has a value for every lane. ``partial``: these are parts of one result, added up in one fixed order,
    whatever vectors the machine has. Where it is no partial result and not in a register, it goes on in memory, at
    ``entry``.
    """

    def __init__(self, member: Member, axis: int | None, entry: str) -> None:
        self.member, self.node, self.entry = member, member.node, entry
        self.kind, self.name = HELD[str(member.node.dtype)], f"v{member.node.number}"
        ordered = member.node.name == "argmax" and axis in member.reduced  # one index after the other
        self.beside = axis is not None and member.work > axis and not ordered
        self.partial = self.beside and axis in member.reduced
        self.inner = [a for a in range(axis + 1, member.work) if a not in member.reduced] if axis is not None else []

    @property
    def value(self) -> str:
        """What the result is called when the reduction has ended."""
        return f"{self.name}[l]" if self.beside and not self.partial else self.name

    @property
    def target(self) -> str:
        """Where the next entry is added."""
        if self.partial:
            return f"{self.name}_{''.join(f'[i{a}]' for a in self._kept)}[l]"
        return self.value if self.member.in_register else self.entry

    @property
    def _kept(self) -> list[int]:
        return [] if self.member.in_register else self.inner

    def begin(self, dims: list[str]) -> list[str]:
        """Before the first entry; ``dims`` are the lengths of the axes of the loop."""
        if self.node.name == "argmax":
            best = HELD[str(self.node.inputs[0].dtype)]
            if not self.beside:
                return [f"{best} {self.name}_best = 0; I {self.name} = -1;"]
            lanes = f"[{LANES}]"
            clear = f"{EVERY_LANE} {{ {self.name}_best[l] = 0; {self.name}[l] = -1; }}"
            return [f"{best} {self.name}_best{lanes}; I {self.name}{lanes};", clear]
        start = begin(self.node)
        if not self.beside:
            return [f"{self.kind} {self.name} = {start};"]
        lengths = "".join(f"[{dims[a]}]" for a in self._kept)
        name = self.name + "_" * self.partial
        return [
            f"{self.kind} {name}{lengths}[{LANES}];",
            *over(self._kept, dims, f"{EVERY_LANE} {name}{''.join(f'[i{a}]' for a in self._kept)}[l] = {start};"),
        ]

    def step(self, value: str) -> list[str]:
        """One more entry."""
        if self.node.name != "argmax":
            return [f"{self.target} = {join(self.node).format(self.target, value)};"]
        (axis,) = dict(self.node.attributes)["axes"]
        place = f"i{self.member.axes[axis]}" if self.member.axes[axis] >= 0 else "0"
        best, at, better = f"{self.name}_best{'[l]' * self.beside}", self.value, f"{self.name}_better"
        first_nan = f"({value} != {value}) & ({best} == {best})"
        return [
            f"const int {better} = ({at} < 0) | ({value} > {best}) | ({first_nan});",
            f"{best} = {better} ? {value} : {best}; {at} = {better} ? {place} : {at};",
        ]

    def end(self, dims: list[str]) -> list[str]:
        """After the last entry: lanes of one result become that."""
        if not self.partial:
            return []
        parts = f"{self.name}_{''.join(f'[i{a}]' for a in self._kept)}"
        joined = join(self.node)
        lines = [
            f"for (int k = {LANES // 2}; k; k /= 2) for (int l = 0; l < k; l++)",
            f"  {parts}[l] = {joined.format(f'{parts}[l]', f'{parts}[l + k]')};",
        ]
        if self.member.in_register:
            return [*lines, f"const {self.kind} {self.name} = {parts}[0];"]
        whole = f"{self.entry} = {joined.format(self.entry, f'{parts}[0]')};"
        return [*over(self._kept, dims, "{"), *lines, whole, "}"]


def over(axes: list[int], dims: list[str], line: str) -> list[str]:
    """The line for every index of the axes."""
    return [*(f"for (I i{a} = 0; i{a} < {dims[a]}; i{a}++)" for a in axes), line]
