"""Fixed functions and steps: their plans are exactly the committed ones, and their numbers those of NumPy.

``python tests/helpers/plans.py`` writes the plans anew.
"""

from itertools import chain
from typing import Any

import array_api_compat.numpy as host
import numpy as np
import plans
import pytest
from compiled import FORCED, IN_TILES, bind, needs_compiler, program_of
from plan_cases import CASES
from plan_functions import FUNCTIONS, Function

from mlpcore.compiler.graph import N, concrete
from mlpcore.compiler.tiling import Tiling
from mlpcore.compiler.trace import Tracer


@pytest.mark.parametrize("name", CASES)
def test_the_plan_is_the_committed_one(name: str) -> None:
    found, committed = plans.plan(CASES[name]()), plans.read()[name]
    assert found == committed, "if the other plan is meant to be: python tests/helpers/plans.py"


def test_no_plan_is_left_over() -> None:
    assert set(plans.read()) == set(CASES)


def test_a_schedule_as_text() -> None:
    def function(xp: Any, x: Any, w: Any) -> list[Any]:
        y = x @ w
        return [xp.sum(xp.exp(y), axis=0), 1.0 + xp.sum(xp.max(y, axis=-1, keepdims=True))]

    assert str(Function(function, ((N, 3), (3, 4))).program()).splitlines() == [
        "0: %2 = matmul(%0, %1) float32[nx4]  # function",
        "1: loop over n x 4",
        "     depth 2, stage 0: %3 = exp(%2) float32[nx4]  # function",
        "     depth 1, stage 1, late: %4 = sum(%3, axes=(0,)) float32[1x4]  # function",
        "     depth 1, stage 1: %6 = max(%2, axes=(1,)) float32[nx1]  # function",
        "     depth 0, stage 2, late: %7 = sum(%6, axes=(0, 1)) float32[1x1]  # function",
        "2: loop over nothing",
        "     depth 0, stage 0: %10 = add(%9, %8) float32[]  # function",
    ]


@needs_compiler
@pytest.mark.parametrize("tiling", FORCED, ids=["tiles of columns", "partial results"])
def test_the_functions_are_what_numpy_makes_of_them(tiling: Tiling) -> None:
    """All of them as one program."""
    rows, draws = 23, np.random.default_rng(0)
    tracer, arrays, given, outputs, pairs = Tracer(), [], {}, [], []
    for function in FUNCTIONS.values():
        inputs, results, replaced = function.traced(tracer)
        outputs.append(results)
        pairs.append(replaced)
        arrays.append([_array(concrete(x.shape, rows), x.dtype, draws) for x in inputs])
        given |= {x.node: values.copy() for x, values in zip(inputs, arrays[-1], strict=True)}
    program = program_of(IN_TILES, tiling)(tracer, [*chain(*outputs)], [*chain(*pairs)])
    bound = bind(program, rows, given, IN_TILES)
    bound.call()
    for function, values, results, replaced in zip(FUNCTIONS.values(), arrays, outputs, pairs, strict=True):
        found = [*(bound.output(one.node) for one in results), *(given[old.node] for _, old in replaced)]
        for got, right in zip(found, function.function(host, *values), strict=True):
            assert got.shape == np.shape(right)
            np.testing.assert_allclose(got, right, rtol=1e-4, atol=1e-6)


def _array(shape: tuple[int, ...], dtype: Any, draws: np.random.Generator) -> np.ndarray:
    values = draws.integers(0, 8, shape) if np.dtype(dtype).kind == "i" else draws.uniform(-1.0, 1.0, shape)
    return np.asarray(values, dtype)
