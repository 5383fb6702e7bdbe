"""What goes in as float32 comes out as float32, and float64 never sneaks in on the way; in every library."""

import numpy as np
import pytest
from members import INITIALIZERS, LAYERS
from runs import RUNS, STEPS, trace

from mlpcore.random import Stream
from mlpcore.trees import named_leaves


@pytest.mark.parametrize("member", RUNS)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_kept(member, dtype, xp):
    function, arguments = RUNS[member](dtype, None)
    with xp.scope(dtype):
        result = xp.get(function(*xp.put(arguments)))
    found = {name: np.asarray(leaf).dtype for name, leaf in named_leaves(result)}
    assert found and all(kind == dtype for kind in found.values()), found


@pytest.mark.parametrize("member", [*RUNS, *STEPS])
def test_float64_never_sneaks_in(member):
    """Not in an intermediate result either, whether or not a result depends on it. Constants and integers are apart."""
    traced = trace(member, *(STEPS[member]("float32") if member in STEPS else RUNS[member]("float32", None)))
    found = {node: str(node.dtype) for node in traced.program.tracer.graph.nodes if node.kind != "constant"}
    assert "float32" in found.values()
    wide = [str(node) for node, dtype in found.items() if dtype.startswith(("float", "complex")) and dtype != "float32"]
    assert not wide, f"{member} computes with other floating numbers: {wide}"


@pytest.mark.parametrize("case", LAYERS)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_draws_have_the_dtype_that_was_asked_for(case, dtype):
    layer = LAYERS[case](4)
    drawn = (layer.init(Stream(0), dtype), layer.noise(Stream(0), (6, 4), dtype))
    for name, leaf in named_leaves(drawn):
        assert isinstance(leaf, np.ndarray), name
        assert leaf.dtype == dtype, name


@pytest.mark.parametrize("case", INITIALIZERS)
def test_initializers_draw_float64_of_the_shape(case):
    drawn = INITIALIZERS[case](Stream(0), (3, 5), (3, 5))
    assert drawn.dtype == np.float64
    assert drawn.shape == (3, 5)
