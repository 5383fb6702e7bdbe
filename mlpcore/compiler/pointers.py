"""The pointers of a printed phase: where its tile finds the entries of arrays that it reads and writes."""

from collections.abc import Iterable

from mlpcore.compiler.formulas import HELD, STORED
from mlpcore.compiler.graph import N, Node, has_rows
from mlpcore.compiler.memory import ALIGNMENT
from mlpcore.compiler.phases import Phase
from mlpcore.compiler.places import ONE, ZERO, Size, size


def padded(count: int) -> int:
    """So many bytes and some more, so that the next array begins a cache line."""
    return -(-count // ALIGNMENT) * ALIGNMENT


class Pointers:
    """Names and declarations. ``s->p`` holds the arrays as a whole; a tile's own part begins further on.

    - An array that has entries for every index of the cut axis: at its first index.
    - An array with rows that only this phase uses (``local``): in the memory of the tile.
    - A reduction over the axis: the first tile makes its partial result where the whole will be, the others make
      theirs in ``s->sums``.
    """

    def __init__(self, number: int, phase: Phase, replaced: dict[Node, Node], local: Iterable[Node]) -> None:
        self.number, self.phase, self.replaced, self.local = number, phase, replaced, set(local)
        self.offsets: dict[Node, int] = {}
        self.bytes = 0  # of the partial results of a tile
        for node in phase.sums:
            self.offsets[node] = self.bytes
            self.bytes += padded(size(node.shape).fixed * node.dtype.itemsize)
        self.declared: dict[str, str] = {}

    def name(self, root: Node, whole: Node, argument: int, begin: Size) -> tuple[str, Size]:
        """The name of the array of a root, which is the argument of that number, and from which entry on it lies."""
        kind = STORED[str(root.dtype)]
        if root in self.offsets:
            others = f"({kind} *)(s->sums[{self.number}] + (tile - 1) * {self.bytes} + {self.offsets[root]})"
            self._declare(f"b{root.number}", kind, f"tile ? {others} : {_at(kind, argument, begin)}")
            return f"b{root.number}", ZERO
        where = _at(kind, argument, ZERO)
        if begin.per_row:
            where, begin = _at(kind, argument, begin), ZERO
        shift = self.phase.shift(root, self.replaced)
        if whole in self.local:
            where = f"({kind} *)((char *)s->p[{argument}] + tile * s->strides[{self.number}])"
        elif shift != ZERO:
            where += " + first" if shift == ONE else f" + first * {shift}"
        return self._declare(f"a{argument}", kind, where), begin

    def constant(self, node: Node, argument: int) -> str:
        """The name of a floating constant, which is the number ``argument`` of the program's."""
        kind = HELD[str(node.dtype)]
        self.declared[f"c{argument}"] = f"const {kind} c{argument} = ({kind})s->c[{argument}];"
        return f"c{argument}"

    def _declare(self, name: str, kind: str, where: str) -> str:
        line = f"{kind} *restrict const {name} = {where};"
        while self.declared.setdefault(name, line) != line:  # read with another distance too
            name += "_"
            line = f"{kind} *restrict const {name} = {where};"
        return name

    def lines(self) -> list[str]:
        """The beginning of the function: which range of the axis the tile has, and its arrays."""
        length, head = self.phase.length, ["const I rows = s->rows;"]
        if length is None:
            head.append("const I n = rows;")
        else:
            whole, each = ("rows", "s->each") if length is N else (str(length), str(self.phase.each))
            head.append(f"const I first = tile * {each}, n = {whole} - first < {each} ? {whole} - first : {each};")
        return [*head, *self.declared.values()]


def _at(kind: str, argument: int, begin: Size) -> str:
    """A pointer to an entry of an array as a whole; in the number of the entry, all rows count, not those of a tile."""
    array = f"({kind} *)s->p[{argument}]"
    return array if begin == ZERO else f"{array} + {str(begin).replace('n', 'rows')}"


def local(phases: list[Phase], touched: dict[Node, list[int]], shared: set[Node]) -> dict[Node, int]:
    """The arrays with rows that a single phase of row tiles uses, and which; not what is ``shared`` with others."""
    found, first = {}, 0
    for number, phase in enumerate(phases):
        items = range(first, first + len(phase.items))
        first += len(phase.items)
        for whole, places in touched.items():
            own = has_rows(whole.shape) and whole.kind not in ("input", "constant") and whole not in shared
            if phase.length is N and own and set(places) <= set(items):
                found[whole] = number
    return found
