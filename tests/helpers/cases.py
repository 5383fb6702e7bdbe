"""Cases of a law over several lists: few in which every two values meet, the whole product with ``--long``."""

from collections.abc import Iterable
from functools import cache
from itertools import combinations, product
from typing import Any

import pytest


def pairwise(**axes: Iterable[Any]) -> pytest.MarkDecorator:
    """Parametrize by the product of the axes; all but the cases that `covering` chooses are marked ``long``."""
    marked = type(pytest.param())
    values = [[one if isinstance(one, marked) else pytest.param(one) for one in axis] for axis in axes.values()]
    chosen, cases = covering(tuple(map(len, values))), []
    for places in product(*(range(len(axis)) for axis in values)):
        case = [axis[place] for axis, place in zip(values, places, strict=True)]
        marks = [mark for one in case for mark in one.marks]
        marks += [] if places in chosen else [pytest.mark.long]
        cases.append(pytest.param(*(one.values[0] for one in case), marks=marks))
    return pytest.mark.parametrize(tuple(axes), cases)


@cache
def covering(sizes: tuple[int, ...]) -> frozenset[tuple[int, ...]]:
    """Places in lists of these sizes: every place of a list beside every place of every other."""
    open_pairs = {
        (first, i, second, j)
        for first, second in combinations(range(len(sizes)), 2)
        for i, j in product(range(sizes[first]), range(sizes[second]))
    }
    chosen = []
    while open_pairs:
        places: list[int | None] = [None] * len(sizes)
        first, i, second, j = min(open_pairs)
        places[first], places[second] = i, j
        for axis in sorted(range(len(sizes)), key=lambda axis: -sizes[axis]):
            if places[axis] is None:
                counts = [len(_pairs(places, axis, place) & open_pairs) for place in range(sizes[axis])]
                places[axis] = counts.index(max(counts))
        case = tuple(place for place in places if place is not None)
        open_pairs -= {(a, case[a], b, case[b]) for a, b in combinations(range(len(sizes)), 2)}
        chosen.append(case)
    return frozenset(chosen)


def _pairs(places: list[int | None], axis: int, place: int) -> set[tuple[int, ...]]:
    """The pairs that a place makes with those that are known."""
    known = [(other, there) for other, there in enumerate(places) if there is not None and other != axis]
    return {(other, there, axis, place) if other < axis else (axis, place, other, there) for other, there in known}
