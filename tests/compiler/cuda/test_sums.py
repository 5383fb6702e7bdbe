"""Sums over outer axes that several blocks share: the last block to write its part adds up those of all."""

from typing import Any

import cuda_host
import numpy as np
import pytest
from compiled import ON_DEVICES, bind, program_of

from mlpcore.compiler.graph import N
from mlpcore.compiler.trace import Tracer
from mlpcore.random import Stream

ROWS = 40_000


def columns(xp: Any, x: Any) -> list[Any]:
    """Sums and maxima of the columns and of all entries, and what follows from the latter."""
    total = xp.sum(x)
    return [xp.sum(x, axis=0), xp.max(x, axis=0), total, xp.sqrt(total * total)]


@pytest.mark.parametrize("printer", ON_DEVICES)
@pytest.mark.parametrize("width", [1, 3, 40])
def test_each_call_adds_up_all_parts(width: int, printer: str) -> None:
    """More than once: the count of blocks that have written theirs begins anew."""
    tracer = Tracer()
    x = tracer.input((N, width), "float64")
    outputs = columns(tracer, x)
    given = {x.node: Stream(0).normal((ROWS, width))}
    bound = bind(program_of("CUDA")(tracer, outputs), ROWS, given, printer)
    for factor in (1, 2, -3):
        given[x.node] *= factor
        bound.call()
        for found, right in zip(outputs, columns(np, given[x.node]), strict=True):
            np.testing.assert_allclose(bound.output(found.node), right, rtol=1e-12, atol=1e-10)


@cuda_host.needed
def test_the_sum_does_not_depend_on_which_block_is_the_last(monkeypatch: pytest.MonkeyPatch) -> None:
    tracer = Tracer()
    x = tracer.input((N, 3), "float32")
    (total,) = outputs = [tracer.sum(x, axis=0)]
    program, draws = program_of("CUDA")(tracer, outputs), Stream(0).normal((2, ROWS, 3))
    values = (draws[0] * np.exp(3 * draws[1])).astype("float32")
    sums = []
    for order in ("blockIdx.x", "(gridDim.x - 1 - blockIdx.x)"):
        program.source = program.source.replace("blockIdx.x", order) if sums else program.source
        bound = bind(program, ROWS, {x.node: values}, "CUDA")
        bound.call()
        sums.append(bound.output(total.node).copy())
    assert "gridDim.x - 1" in program.source
    np.testing.assert_array_equal(*sums)
