"""Random graphs, twenty in a program, as C, as NumPy calls, each also in tiles, and as CUDA C.

Four hundred of them as NumPy calls, two hundred as C; a thousand with ``--long``.
``python tests/helpers/fuzz.py`` does any number of them.
"""

from typing import Any

import array_api_strict
import fuzz
import graphs
import numpy as np
import pytest
from compiled import needs_compiler
from cuda_host import needed
from devices import open_place
from graphs import compiled, expected, random_graph
from rounding import Noting, Shaken, differences

from mlpcore.compiler.graph import has_rows
from mlpcore.compiler.trace import Tracer

CUDA = {"CUDA": ("CUDA",), "CUDA on a GPU": ("CUDA on a GPU",)}
WAYS = {"C": ("C",), "C in tiles": ("C in tiles",), "NumPy calls": ("NumPy", "NumPy in tiles"), **CUDA}
MARKS = {"C": [needs_compiler], "C in tiles": [needs_compiler], "CUDA": [needed], "CUDA on a GPU": [pytest.mark.gpu]}
# Of the standard's functions that can be traced, those that make no array of arrays.
ABOUT = {"finfo", "iinfo", "isdtype", "result_type", "empty", "empty_like"}


FIRST = {"C": (0, 200), "C in tiles": (100, 300), "NumPy calls": (0, 100, 200, 300), **dict.fromkeys(CUDA, (0,))}
CASES = [
    pytest.param(first, way, marks=[*MARKS.get(way, ()), *([] if first in FIRST[way] else [pytest.mark.long])])
    for way in WAYS
    for first in range(0, 200 if way in CUDA else 1000, 100)
]


@pytest.mark.parametrize(("first", "way"), CASES)
def test_random_graphs_are_what_numpy_makes_of_them(first: int, way: str) -> None:
    if way == "CUDA on a GPU":
        open_place("cupy")
    assert [line for seed in range(first, first + 100, fuzz.TOGETHER) for line in fuzz.check(seed, WAYS[way])[0]] == []


def test_the_graphs_use_all_that_can_be_traced(monkeypatch: pytest.MonkeyPatch) -> None:
    used = set()

    class Noting(Tracer):
        """A tracer that notes what it is asked for."""

        def __getattribute__(self, name: str) -> Any:
            used.add(name)
            return super().__getattribute__(name)

    monkeypatch.setattr(graphs, "Tracer", Noting)
    for seed in range(1000):
        random_graph(seed, 3)
    functions = {name for name in dir(Tracer) if name in array_api_strict.__all__ and callable(getattr(Tracer, name))}
    assert functions - used == ABOUT


def test_half_of_the_graphs_are_for_any_number_of_rows_and_some_replace_their_arguments() -> None:
    drawn = [random_graph(seed, 17) for seed in range(300)]
    symbolic = sum(any(map(has_rows, one.shapes)) for one in drawn)
    assert symbolic > 120 and sum(bool(one.replaced) for one in drawn) > 60
    assert np.mean([len(one.todo) for one in drawn]) > 6


def test_a_wrong_entry_is_seen_and_rounding_is_not() -> None:
    seen, all_of_them = 0, 0
    for seed in range(100):
        graph = random_graph(seed, 5)
        results = expected(graph)
        for i, values in enumerate(results):
            if values.dtype.kind != "f" or not values.size or not np.isfinite(values).all():
                continue
            scale = max(1.0, float(np.max(np.abs(values))))
            assert not differences([*results[:i], values * (1 + np.finfo(values.dtype).eps), *results[i + 1 :]], graph)[
                0
            ]
            wrong = values.copy()
            wrong.flat[-1] += 1e-3 * scale
            all_of_them += 1
            seen += bool(differences([*results[:i], wrong, *results[i + 1 :]], graph)[0])
    assert seen > 0.98 * all_of_them > 100  # but where rounding decides, as behind a floor


def test_equality_is_open_only_where_rounding_moved_what_is_compared() -> None:
    def function(xp: Any, x: np.ndarray) -> list[np.ndarray]:
        return [xp.not_equal(one, xp.nextafter(one, xp.ones_like(one))) for one in (xp.mean(x, axis=0), x)]

    x, calm = np.full((3, 9), 0.1), Noting()
    right = function(calm, x)
    other = [function(Shaken(seed, 1.0, calm.compared), x) for seed in range(8)]
    assert any((mean != right[0]).any() for mean, _ in other)
    assert all((same == right[1]).all() for _, same in other)


@needs_compiler
def test_many_graphs_are_one_program() -> None:
    drawn = [random_graph(seed, 5) for seed in range(10)]
    for one, results in zip(drawn, compiled(drawn, 5, "C"), strict=True):
        (alone,) = compiled([one], 5, "C")
        for got, right in zip(results, alone, strict=True):
            np.testing.assert_array_equal(got, right)
