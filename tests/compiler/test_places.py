"""Where entries lie: sizes, strides, and views of views, as NumPy has them."""

import itertools
import random
from typing import Any

import numpy as np
import pytest
from rearrangements import view

from mlpcore.compiler.graph import N, Node, RowsNeeded, Untraceable, concrete
from mlpcore.compiler.places import ONE, ZERO, Place, Size, blas_order, entry, packed, places, size
from mlpcore.compiler.trace import Tracer

ROWS = 7  # a length that no other axis has
SHAPES = [(N, 6), (4, N, 6), (N,), (2, 3, 4), (1, 6, 1, 2), (N, 1, 12), (12, 1), (3, 2, N, 2)]
SIZES = [Size(fixed, rows) for fixed, rows in itertools.product((-3, 0, 1, 4), (-2, 0, 1, 5))]


def test_sizes_are_numbers_for_any_number_of_rows() -> None:
    for one, other, n in itertools.product(SIZES, SIZES, (1, 9)):
        assert one.plus(other).at(n) == one.at(n) + other.at(n)
        assert one.times(3).at(n) == 3 * one.at(n)
        assert eval(str(one), {"n": n}) == one.at(n)
    for one in SIZES:
        if one.per_row:
            with pytest.raises(RowsNeeded, match="two axes of rows"):
                one.times(N)
        else:
            assert one.times(N) == Size(0, one.fixed)


def test_sizes_are_printed_without_terms_that_are_zero() -> None:
    texts = {Size(0): "0", Size(4): "4", Size(0, 1): "n", Size(0, 5): "5 * n", Size(4, 1): "(4 + n)"}
    assert {one: str(one) for one in texts} == texts


def test_an_entry_is_that_of_offset_and_strides() -> None:
    draws, n = random.Random(0), 3
    for _ in range(200):
        offset, *strides = (Size(draws.choice((0, 1, 5)), draws.choice((0, 0, 1, 2))) for _ in range(4))
        indices = {f"i{axis}": draws.randint(0, 4) for axis in range(3)}
        place = offset.at(n) + sum(s.at(n) * i for s, i in zip(strides, indices.values(), strict=True))
        assert eval(entry("a", offset, strides), {"a": range(1000), "n": n, **indices}) == place
    assert entry("a", ZERO, ()) == "a[0]" and entry("a", ZERO, (ONE, ZERO, Size(2))) == "a[i0 + i2 * 2]"


@pytest.mark.parametrize("shape", [*SHAPES, ()], ids=str)
def test_packed_arrays_have_the_strides_of_numpy(shape: tuple) -> None:
    array = np.empty(concrete(shape, ROWS), np.int8)
    assert size(shape).at(ROWS) == array.size
    expected = tuple(stride if dim > 1 else 0 for stride, dim in zip(array.strides, array.shape, strict=True))
    assert tuple(one.at(ROWS) for one in packed(shape)) == expected


def shown(place: Place, shape: tuple, memory: np.ndarray) -> np.ndarray:
    """What lies at a place of the packed array ``memory``."""
    strides = [stride.at(ROWS) * memory.itemsize for stride in place.strides]
    start = memory.reshape(-1)[place.offset.at(ROWS) :]
    return np.lib.stride_tricks.as_strided(start, concrete(shape, ROWS), strides, writeable=False)


def follow(node: Node, x: np.ndarray) -> np.ndarray:
    """What a view is of an array."""
    words, shape = dict(node.attributes), concrete(node.shape, ROWS)
    if node.name == "permute_dims":
        return np.transpose(x, words["axes"])
    if node.name == "broadcast_to":
        return np.broadcast_to(x, shape)
    if node.name == "slice":
        places = zip(words["starts"], words["steps"], shape, strict=True)
        return x[np.ix_(*(start + step * np.arange(count) for start, step, count in places))]
    return np.reshape(x, shape)


def views_of_views(seed: int) -> list[tuple[Node, np.ndarray, Place]]:
    """An array and random views of one another: the nodes, what NumPy makes of them, their places."""
    draws = random.Random(seed)
    shape = draws.choice(SHAPES)
    x: Any = Tracer().input(shape, "int64")
    graph = x.tracer.graph
    for _ in range(8):
        try:
            following = view(x.tracer, x, x, random.Random(draws.randrange(10**6)))
        except (Untraceable, ValueError, IndexError):
            continue
        x = following if following is not None and following.ndim < 6 else x
    graph.outputs = [x.node]
    (source, *nodes), place_of = graph.needed(), places(graph)[1]
    values = np.arange(size(shape).at(ROWS)).reshape(concrete(shape, ROWS))
    found = [(source, values, place_of[source])]
    for node in nodes:
        found.append((node, values := follow(node, values), place_of[node]))
    return found


@pytest.mark.parametrize("first", range(0, 600, 300))
def test_views_lie_where_numpy_has_them_and_are_copied_only_where_numpy_copies(first: int) -> None:
    copies, reshapes = 0, 0
    for seed in range(first, first + 300):
        chain = views_of_views(seed)
        value_of = {node: values for node, values, _ in chain}
        for (source, _, old), (node, values, place) in itertools.pairwise(chain):
            arrays = []
            for one in (old, place):
                owner = one.root if one.root.kind == "input" else one.root.inputs[0]
                arrays.append(np.ascontiguousarray(value_of[owner]))
            np.testing.assert_array_equal(shown(place, node.shape, arrays[1]), values)
            is_copy = place.root is not old.root
            if node.name != "reshape":
                assert not is_copy, (seed, str(node))
                continue
            before = shown(old, source.shape, arrays[0])
            try:
                np.reshape(before, values.shape, copy=False)
            except ValueError:
                assert is_copy, (seed, str(node))
            else:
                assert not is_copy, (seed, str(node))
            reshapes, copies = reshapes + 1, copies + is_copy
    assert reshapes > 5 * copies > 20, (reshapes, copies)


FACTORS = {
    "rows": ((3, 5), (5, 1), (111, 5)),
    "columns": ((3, 5), (1, 3), (112, 3)),
    "rows with gaps": ((3, 5), (8, 1), (111, 8)),
    "columns with gaps": ((3, 5), (1, 8), (112, 8)),
    "every other column": ((3, 5), (10, 2), None),
    "every other row of columns": ((3, 5), (2, 6), None),
    "columns in reverse": ((3, 5), (5, -1), None),
    "rows in reverse": ((3, 5), (-5, 1), None),
    "one row repeated": ((3, 5), (0, 1), None),
    "one column repeated": ((3, 5), (1, 0), None),
    "a row": ((1, 5), (0, 1), (111, 5)),
    "a row of a column": ((1, 5), (0, 4), (112, 4)),
    "a column": ((3, 1), (1, 0), (111, 1)),
    "a column of a table": ((3, 1), (4, 0), (111, 4)),
    "a number": ((1, 1), (0, 0), (111, 1)),
    "a stack": ((2, 3, 5), (15, 5, 1), (111, 5)),
    "a stack, turned": ((2, 3, 5), (15, 1, 3), (112, 3)),
}


@pytest.mark.parametrize("name", FACTORS)
def test_how_blas_reads_a_factor(name: str) -> None:
    shape, strides, expected = FACTORS[name]
    found = blas_order(shape, tuple(map(Size, strides)))
    if found is not None:
        found = found[0], found[1].fixed if isinstance(found[1], Size) else found[1]
    assert found == expected
