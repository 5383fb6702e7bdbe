"""The lengths of tiles: from shapes alone, few, and none too small."""

import random

import pytest

from mlpcore.compiler.places import Size
from mlpcore.compiler.tiling import DEFAULT, Tiling

SMALL = Tiling(most=4, rows=3, many=7, work=50, entries=24, columns=5)


def tiles(length: int, each: int) -> int:
    return -(-length // each)


def test_the_number_of_tiles_grows_with_the_rows_and_the_work() -> None:
    tiling = Tiling(most=4, rows=96, many=384, work=1000)
    counts = [tiles(rows, tiling.of_rows(rows, 10**9)) for rows in (1, 191, 192, 1535, 1536, 10**6)]
    assert counts == [1, 1, 2, 2, 4, 4]
    work = [tiles(10**6, tiling.of_rows(10**6, work)) for work in (0, 1999, 2000, 2999, 3000, 4000, 10**9)]
    assert work == [1, 1, 2, 2, 3, 4, 4]
    assert [tiles(10**6, tiling._replace(most=most).of_rows(10**6, 10**9)) for most in (1, 2, 3)] == [1, 2, 3]


def test_the_least_tiles_of_rows_that_are_used() -> None:
    assert [DEFAULT.of_rows(rows, 10**9) for rows in (191, 192, 1535, 1536)] == [191, 96, 768, 384]
    assert [DEFAULT.of_rows(192, work) for work in (1_999_999, 2_000_000)] == [192, 96]


def test_long_tiles_are_whole_vectors() -> None:
    assert [DEFAULT.of_columns(columns) for columns in (511, 512, 600, 1000, 1024, 1025, 4096)] == [
        *(511, 256, 304, 336, 256, 272, 1024)
    ]
    assert [SMALL.of_columns(columns) for columns in (9, 10, 11, 19, 20, 256, 257)] == [9, 5, 6, 7, 5, 64, 80]


def test_tiles_of_a_loop_have_enough_entries_and_are_as_many_as_allowed() -> None:
    assert [SMALL.of_loop((length,)) for length in (47, 48, 71, 72, 95, 96, 200)] == [47, 24, 36, 24, 32, 24, 50]
    assert [SMALL.of_loop((length, 2, 3)) for length in (7, 8, 11, 12, 15, 16)] == [7, 4, 6, 4, 5, 4]
    assert DEFAULT.of_loop((65_535,)) == 65_535 and DEFAULT.of_loop((65_536,)) == 32_768


def test_the_largest_tile_is_that_of_some_number_of_rows_up_to_the_given_one() -> None:
    draws = random.Random(0)
    for _ in range(300):
        low = draws.randint(1, 9)
        tiling = Tiling(draws.randint(1, 5), low, draws.randint(low, 30), draws.randint(1, 400))
        work = Size(draws.choice((0, 0, 90, 1000)), draws.choice((0, 1, 7, 60)))
        rows = draws.randint(1, 150)
        expected = max(tiling.of_rows(count, work.at(count)) for count in range(1, rows + 1))
        assert tiling.largest(rows, work) == expected, (tiling, work, rows)


@pytest.mark.parametrize("length", [1, 15, 64, 65, 1000, 70_000])
def test_no_tile_is_longer_than_the_axis_nor_empty(length: int) -> None:
    for tiling in (DEFAULT, SMALL, Tiling(3, 1, 1, 1, 1, 1, 1)):
        for each in (tiling.of_rows(length, 10**9), tiling.of_loop((length, 9)), tiling.of_columns(length)):
            assert 0 < each <= length and tiles(length, each) <= tiling.most
