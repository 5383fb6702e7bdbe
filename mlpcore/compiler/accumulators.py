"""The C lines of a reduction: initial value, one step, and the combination of its lanes."""

from mlpcore.compiler.blocks import LANES
from mlpcore.compiler.formulas import HELD, combine, identity
from mlpcore.compiler.schedule import Member

EVERY_LANE = f"for (I l = 0; l < {LANES}; l++)"


class Accumulator:
    """Prints the C lines of one reduction: its initial value, one step, and the combination of its lanes.

    ``axis`` is the axis of the loop that is split into lanes, None without lanes. ``per_lane``: every lane has an
    accumulator of its own. ``partial``: the reduction runs over the axis of lanes, so these accumulators are partial
    results; ``end`` combines them in a fixed order, which does not depend on the machine's vector width. ``entry`` is
    the array entry, as a C expression, of an accumulator that is not in a variable.
    """

    def __init__(self, member: Member, axis: int | None, entry: str) -> None:
        self.member, self.node, self.entry = member, member.node, entry
        self.kind, self.name = HELD[str(member.node.dtype)], f"v{member.node.number}"
        ordered = member.node.name == "argmax" and axis in member.reduced  # one index after another, without lanes
        self.per_lane = axis is not None and member.inner_depth > axis and not ordered
        self.partial = self.per_lane and axis in member.reduced
        self.inner = (
            [a for a in range(axis + 1, member.inner_depth) if a not in member.reduced] if axis is not None else []
        )

    @property
    def value(self) -> str:
        """The expression of the result after the end of the reduction."""
        return f"{self.name}[l]" if self.per_lane and not self.partial else self.name

    @property
    def target(self) -> str:
        """The expression of the accumulator."""
        if self.partial:
            return f"{self.name}_{''.join(f'[i{a}]' for a in self._kept)}[l]"
        return self.value if self.member.in_register else self.entry

    @property
    def _kept(self) -> list[int]:
        return [] if self.member.in_register else self.inner

    def begin(self, dims: list[str]) -> list[str]:
        """The lines before the first entry; ``dims`` are the lengths of the axes of the loop."""
        if self.node.name == "argmax":
            best = HELD[str(self.node.inputs[0].dtype)]
            if not self.per_lane:
                return [f"{best} {self.name}_best = 0; I {self.name} = -1;"]
            lanes = f"[{LANES}]"
            clear = f"{EVERY_LANE} {{ {self.name}_best[l] = 0; {self.name}[l] = -1; }}"
            return [f"{best} {self.name}_best{lanes}; I {self.name}{lanes};", clear]
        start = identity(self.node)
        if not self.per_lane:
            return [f"{self.kind} {self.name} = {start};"]
        lengths = "".join(f"[{dims[a]}]" for a in self._kept)
        name = self.name + "_" * self.partial
        return [
            f"{self.kind} {name}{lengths}[{LANES}];",
            *over(self._kept, dims, f"{EVERY_LANE} {name}{''.join(f'[i{a}]' for a in self._kept)}[l] = {start};"),
        ]

    def step(self, value: str) -> list[str]:
        """The lines that add one entry."""
        if self.node.name != "argmax":
            return [f"{self.target} = {combine(self.node).format(self.target, value)};"]
        (axis,) = dict(self.node.attributes)["axes"]
        index = f"i{self.member.axes[axis]}" if self.member.axes[axis] >= 0 else "0"
        best, at, better = f"{self.name}_best{'[l]' * self.per_lane}", self.value, f"{self.name}_better"
        first_nan = f"({value} != {value}) & ({best} == {best})"
        return [
            f"const int {better} = ({at} < 0) | ({value} > {best}) | ({first_nan});",
            f"{best} = {better} ? {value} : {best}; {at} = {better} ? {index} : {at};",
        ]

    def end(self, dims: list[str]) -> list[str]:
        """The lines after the last entry, which combine partial results."""
        if not self.partial:
            return []
        parts = f"{self.name}_{''.join(f'[i{a}]' for a in self._kept)}"
        combination = combine(self.node)
        lines = [
            f"for (int k = {LANES // 2}; k; k /= 2) for (int l = 0; l < k; l++)",
            f"  {parts}[l] = {combination.format(f'{parts}[l]', f'{parts}[l + k]')};",
        ]
        if self.member.in_register:
            return [*lines, f"const {self.kind} {self.name} = {parts}[0];"]
        line = f"{self.entry} = {combination.format(self.entry, f'{parts}[0]')};"
        return [*over(self._kept, dims, "{"), *lines, line, "}"]


def over(axes: list[int], dims: list[str], line: str) -> list[str]:
    """The line, preceded by the heads of loops over the axes."""
    return [*(f"for (I i{a} = 0; i{a} < {dims[a]}; i{a}++)" for a in axes), line]
