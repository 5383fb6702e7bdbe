"""The few cases that stand for a product of lists."""

from itertools import combinations, product
from math import prod

import pytest
from cases import covering, pairwise


@pytest.mark.parametrize("sizes", [(1, 1), (3, 2), (6, 4, 6, 2, 2), (6, 4, 8), (27, 2, 7)], ids=str)
def test_every_two_values_meet_in_few_cases(sizes: tuple[int, ...]) -> None:
    chosen = covering(sizes)
    for first, second in combinations(range(len(sizes)), 2):
        met = {(case[first], case[second]) for case in chosen}
        assert met == set(product(range(sizes[first]), range(sizes[second])))
    largest = sorted(sizes)[-2:]
    assert len(chosen) <= 1.2 * prod(largest)


def test_the_whole_product_is_there_and_its_marks_stay() -> None:
    cases = pairwise(x=[1, 2, pytest.param(3, marks=pytest.mark.gpu)], y="ab", z=[True, False]).args[1]
    assert {case.values for case in cases} == set(product((1, 2, 3), "ab", (True, False)))
    marks = [{mark.name for mark in case.marks} for case in cases]
    assert sum("long" in names for names in marks) == 12 - 6
    assert all(("gpu" in names) == (case.values[0] == 3) for names, case in zip(marks, cases, strict=True))
