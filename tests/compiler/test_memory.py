"""Memory of temporary arrays: what is in use at once never overlaps, and no more is taken than that needs."""

import itertools
import random
from collections.abc import Iterable
from typing import Any, NamedTuple

import plan_cases
import pytest
from compiled import FORCED
from graphs import random_graph

from mlpcore import host_memory
from mlpcore.compiler.graph import Node
from mlpcore.compiler.memory import ALIGNMENT, aligned_bytes, arena, owner_of, temporary_bytes
from mlpcore.compiler.places import ZERO, Size, size
from mlpcore.compiler.program import Program
from mlpcore.compiler.tiling import DEFAULT, Tiling
from mlpcore.compiler.trace import Tracer
from mlpcore.compiler.workspace import Workspace
from mlpcore.memory import MoreThanThereIs

ROWS = 23  # of random graphs


def test_arrays_lie_at_the_first_place_that_is_free_while_they_are_in_use() -> None:
    """The largest first; the places that count are the beginning and the ends of arrays placed before."""
    draws = random.Random(0)
    for _ in range(300):
        spans = []
        for _ in range(draws.randint(0, 9)):
            first = draws.randint(0, 7)
            spans.append((first, first + draws.choice((0, 1, 3)), draws.choice((0, 1, 60, 64, 65, 200, 640))))
        offsets, length = arena(spans)
        assert length == max((offset + count for offset, (*_, count) in zip(offsets, spans, strict=True)), default=0)
        placed: list[int] = []
        for i in sorted(range(len(spans)), key=lambda i: -spans[i][2]):
            beside = [(offsets[j], offsets[j] + spans[j][2]) for j in placed if _together(spans[i], spans[j])]
            ends = sorted(-(-end // ALIGNMENT) * ALIGNMENT for start, end in beside if end > start)
            free = [
                offset
                for offset in (0, *ends)
                if all(offset >= end or offset + spans[i][2] <= start for start, end in beside)
            ]
            assert offsets[i] == free[0], (spans, offsets)
            placed.append(i)


def _together(one: tuple[int, ...], other: tuple[int, ...]) -> bool:
    """Whether ranges (first, last, ...) have an item in common."""
    return one[0] <= other[1] and other[0] <= one[1]


def test_bytes_are_zero_and_begin_where_a_cache_line_does() -> None:
    for count in (1, 63, 64, 1000):
        block = aligned_bytes(count)
        assert block.nbytes == count and block.ctypes.data % ALIGNMENT == 0 and not block.any()


def test_more_than_the_host_has_is_not_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(host_memory, "host_memory", lambda: 1 << 30)
    assert temporary_bytes(100).nbytes == 100
    with pytest.raises(MoreThanThereIs):
        temporary_bytes((1 << 30) + 1)


def test_the_owner_of_a_part_of_a_part() -> None:
    a, b, c, d = (Node("sum", "reduce", (), (), "float32") for _ in range(4))
    placed = {a: (b, Size(3)), b: (c, Size(4, 1)), d: (c, ZERO)}
    assert (
        owner_of(placed, a) == (c, Size(7, 1)) and owner_of(placed, d) == (c, ZERO) and owner_of(placed, c) == (c, ZERO)
    )


class Range(NamedTuple):
    """Memory from an address to another one, and the first and the last item during which it is in use.

    Items of one tile, which has a number in its phase, run one after another, and those of other tiles at any time of
    the phase: its first and last item are those of ``phase``.
    """

    what: Any
    begin: int
    end: int
    items: tuple[int, int]
    phase: tuple[int, int]
    tile: int | None = None

    def meets(self, other: "Range") -> bool:
        """Whether both are in use at once."""
        one_tile = self.tile is not None and self.tile == other.tile and self.phase == other.phase
        return _together(self.items, other.items) if one_tile else _together(self.phase, other.phase)


def ranges(program: Program, rows: int, fewer: bool) -> tuple[list[Range], int]:
    """All that lies in the memory of a program, for every tile, and the bytes of this memory."""
    program.source  # noqa: B018  # names the arrays
    storage, tiling = program.storage, program.tiling
    each = tiling.largest(rows, program.work) if fewer else tiling.of_rows(rows, program.work.at(rows))
    tiles = min(tiling.most, rows) if fewer else -(-rows // each)
    given = {*program.tracer.data, *(node for node in storage.arrays if node.kind == "input" or node.name == "number")}
    owners = [node for node in storage.arrays if node not in given]
    memory = Workspace(storage, program.sums, owners, rows, each, tiles, fewer)
    assert memory.sums.shape == memory.strides.shape == (len(storage.phases),)
    found, during, end = [], {}, 0
    for number, phase in enumerate(storage.phases):
        items = range(end, end + len(phase.items))
        end += len(phase.items)
        # Tiles run at once, so that every item of a cut phase may run beside every other one.
        during |= {item: (item, item) if phase.length is None else (items[0], items[-1]) for item in items}
        begin, count = int(memory.sums[number]), program.sums[number] * (phase.tiles(tiles) - 1)
        found.append(Range(f"sums of {number}", begin, begin + count, *[(items[0], items[-1])] * 2))
    kept = {storage.owner_of(node)[0] for node in storage.output_roots}
    for owner in owners:
        array, number = memory.arrays[owner], storage.local.get(owner)
        count = size(owner.shape).at(rows if number is None else each)
        assert array.dtype == owner.dtype and array.shape == (count,)
        own = min(storage.touched[owner]), max(storage.touched[owner])
        wide = (0, end) if owner in kept else (during[own[0]][0], during[own[1]][1])
        for tile in range(1 if number is None else storage.phases[number].tiles(tiles)):
            begin = array.ctypes.data + (0 if number is None else tile * int(memory.strides[number]))
            found.append(Range(owner, begin, begin + array.nbytes, own, wide, None if number is None else tile))
    return [one for one in found if one.begin < one.end], memory.length


def check_memory(program: Program, rows: int, fewer: bool) -> None:
    """What is in use at once does not overlap, begins at whole cache lines, and lies in the block."""
    found, length = ranges(program, rows, fewer)
    for one, other in itertools.combinations(found, 2):
        if one.meets(other):
            assert one.end <= other.begin or other.end <= one.begin, (one, other)
    assert not any(one.begin % ALIGNMENT for one in found)
    lengths = [-(-(one.end - one.begin) // ALIGNMENT) * ALIGNMENT for one in found]
    assert max((one.end for one in found), default=0) - min((one.begin for one in found), default=0) <= length
    assert length <= sum(lengths)


def test_only_memory_that_is_all_written_to_is_compared_with_what_the_host_has(monkeypatch: pytest.MonkeyPatch) -> None:
    program = plan_cases.CASES["softmax of very wide rows"]()
    monkeypatch.setattr(host_memory, "host_memory", lambda: 1 << 26)
    assert ranges(program, 10_000, fewer=True)[1] > 1 << 26
    with pytest.raises(MoreThanThereIs):
        ranges(program, 10_000, fewer=False)


def program_of(seeds: Iterable[int], tiling: Tiling) -> Program:
    """Random graphs as one program."""
    tracer, outputs, pairs = Tracer(), [], []
    for graph in (random_graph(seed, ROWS) for seed in seeds):
        inputs = [tracer.input(shape, array.dtype) for shape, array in zip(graph.shapes, graph.arrays, strict=True)]
        values = graph.run(tracer, inputs)
        outputs += [values[i] for i in graph.outputs]
        pairs += [(values[new], values[old]) for new, old in graph.replaced]
    return Program(tracer, outputs, pairs, tiling)


@pytest.mark.parametrize("fewer", [False, True])
@pytest.mark.parametrize("tiling", [DEFAULT, *FORCED], ids=["few tiles", "tiles of columns", "partial results"])
def test_memory_of_random_graphs(tiling: Tiling, fewer: bool) -> None:
    for first in range(0, 40, 20):
        check_memory(program_of(range(first, first + 20), tiling), ROWS, fewer)


@pytest.mark.parametrize("name", plan_cases.CASES)
def test_memory_of_steps(name: str) -> None:
    program = plan_cases.CASES[name]()
    for rows, fewer in itertools.product((1, 100, 2000), (False, True)):
        check_memory(program, rows, fewer)
