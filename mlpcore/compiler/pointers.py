"""The pointers at the beginning of a printed phase: to the entries of its tile in every array."""

from collections.abc import Iterable

from mlpcore.compiler.formulas import HELD, STORED
from mlpcore.compiler.graph import N, Node, has_rows
from mlpcore.compiler.memory import ALIGNMENT
from mlpcore.compiler.phases import Phase
from mlpcore.compiler.places import ONE, ZERO, Size, size


def padded(count: int) -> int:
    """The number of bytes rounded up to whole cache lines."""
    return -(-count // ALIGNMENT) * ALIGNMENT


class Pointers:
    """Names and declarations of pointers. ``s->p`` holds the arrays; the pointer of a tile is

    - for an array with entries for every index of the cut axis: the entry of the tile's first index;
    - for an array that only this phase uses (``local``): the tile's own memory;
    - for a reduction over the cut axis: the result itself for the first tile, ``s->sums`` for the others.
    """

    def __init__(self, number: int, phase: Phase, replaced: dict[Node, Node], local: Iterable[Node]) -> None:
        self.number, self.phase, self.replaced, self.local = number, phase, replaced, set(local)
        self.offsets: dict[Node, int] = {}
        self.bytes = 0  # of the partial results of a tile
        for node in phase.sums:
            self.offsets[node] = self.bytes
            self.bytes += padded(size(node.shape).fixed * node.dtype.itemsize)
        self.declared: dict[str, str] = {}

    def name(self, root: Node, owner: Node, argument: int, offset: Size) -> tuple[str, Size]:
        """The name of the pointer to a root in argument ``argument``, and the offset of the root from it."""
        kind = STORED[str(root.dtype)]
        if root in self.offsets:
            partial = f"({kind} *)(s->sums[{self.number}] + (tile - 1) * {self.bytes} + {self.offsets[root]})"
            self._declare(f"b{root.number}", kind, f"tile ? {partial} : {_at(kind, argument, offset)}")
            return f"b{root.number}", ZERO
        where = _at(kind, argument, ZERO)
        if offset.per_row:
            where, offset = _at(kind, argument, offset), ZERO
        stride = self.phase.stride(root, self.replaced)
        if owner in self.local:
            where = f"({kind} *)((char *)s->p[{argument}] + tile * s->strides[{self.number}])"
        elif stride != ZERO:
            where += " + first" if stride == ONE else f" + first * {stride}"
        return self._declare(f"a{argument}", kind, where), offset

    def constant(self, node: Node, argument: int) -> str:
        """The name of a floating constant, the program's number ``argument``."""
        kind = HELD[str(node.dtype)]
        self.declared[f"c{argument}"] = f"const {kind} c{argument} = ({kind})s->c[{argument}];"
        return f"c{argument}"

    def _declare(self, name: str, kind: str, where: str) -> str:
        line = f"{kind} *restrict const {name} = {where};"
        while self.declared.setdefault(name, line) != line:  # the array is also read with another stride
            name += "_"
            line = f"{kind} *restrict const {name} = {where};"
        return name

    def lines(self) -> list[str]:
        """The first lines of the function: the tile's range of the axis, and its pointers."""
        length, head = self.phase.length, ["const I rows = s->rows;"]
        if length is None:
            head.append("const I n = rows;")
        else:
            total, each = ("rows", "s->each") if length is N else (str(length), str(self.phase.tile_length))
            head.append(f"const I first = tile * {each}, n = {total} - first < {each} ? {total} - first : {each};")
        return [*head, *self.declared.values()]


def _at(kind: str, argument: int, offset: Size) -> str:
    """A pointer to an entry of a whole array. Its offset counts all rows, whose number is ``rows``, not ``n``."""
    array = f"({kind} *)s->p[{argument}]"
    return array if offset == ZERO else f"{array} + {str(offset).replace('n', 'rows')}"


def local(phases: list[Phase], touched: dict[Node, list[int]], shared: set[Node]) -> dict[Node, int]:
    """The number of the phase, for every array with rows that only one phase of row tiles uses; none in ``shared``."""
    phase_of, first = {}, 0
    for number, phase in enumerate(phases):
        items = range(first, first + len(phase.items))
        first += len(phase.items)
        for owner, places in touched.items():
            eligible = has_rows(owner.shape) and owner.kind not in ("input", "constant") and owner not in shared
            if phase.length is N and eligible and set(places) <= set(items):
                phase_of[owner] = number
    return phase_of
