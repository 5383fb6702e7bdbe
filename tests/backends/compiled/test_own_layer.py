"""One file with a layer of a user's own, its formula in no list: fused on CuPy, compiled as C, exported as ONNX."""

from pathlib import Path
from runpy import run_path
from typing import Any

import cuda_host
import numpy as np
import pytest
from compiled import needs_compiler
from devices import gpu, open_place
from fitting import EAGER
from optional import optional

import mlpcore as mc
from mlpcore.backends.backend import Backend
from mlpcore.backends.compiled.device_functions import DeviceFunction
from mlpcore.backends.compiled.device_steps import DeviceSteps
from mlpcore.gradient_check import check_gradients
from mlpcore.random import Stream
from mlpcore.trees import named_leaves

FILE = Path(__file__).parents[2] / "helpers" / "own_layer.py"
NEAR = {"float32": 2e-5, "float64": 1e-11}
X, Y = Stream(1, "x").normal((40, 5)), Stream(2, "y").normal((40, 2))


def trained(layer: Any, backend: Backend | str, dtype: str, **words: Any) -> tuple[mc.Model, list[float]]:
    """A network with the layer twice after a few epochs of ragged batches, and its losses."""
    net = mc.Sequential(mc.Linear(5, 6), layer, mc.Linear(6, 6), layer, mc.Linear(6, 2))
    model = mc.Model(net, mc.SquaredError(), mc.Adam(0.01), backend=backend, dtype=dtype, seed=3, **words)
    return model, model.fit(X.astype(dtype), Y.astype(dtype), epochs=4, batch_size=12).loss


def assert_near(found: Any, expected: Any, dtype: str) -> None:
    """Equal trees but for rounding."""
    for (name, one), (_, other) in zip(named_leaves(found), named_leaves(expected), strict=True):
        np.testing.assert_allclose(one, other, rtol=NEAR[dtype], atol=NEAR[dtype], err_msg=name)


def operations(graph: Any) -> int:
    """How many operations compute something."""
    return sum(node.kind in ("elementwise", "reduce", "matmul") for node in graph.needed())


def noted(monkeypatch: pytest.MonkeyPatch, kind: type) -> list[Any]:
    """The objects of this kind that are made from now on."""
    made: list[Any] = []
    begin = kind.__init__

    def noting(self: Any, *given: Any, **words: Any) -> None:
        made.append(self)
        begin(self, *given, **words)

    monkeypatch.setattr(kind, "__init__", noting)
    return made


@needs_compiler
@pytest.mark.parametrize("dtype", NEAR)
@pytest.mark.parametrize("place", [pytest.param("CUDA on the CPU", marks=cuda_host.needed), gpu("cupy")])
def test_one_file_is_fused_on_cupy_compiled_as_c_and_exported(
    place: str, dtype: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    optional("onnx")
    optional("onnxruntime")
    from onnx_models import run

    from mlpcore.onnx import to_onnx

    layer = run_path(str(FILE))["Ripple"](6)
    check_gradients(layer, x=Stream(4, "x").normal((7, 6)))
    eager, losses = trained(layer, EAGER, dtype)
    assert losses[-1] < losses[0]

    # As C.
    model, found = trained(layer, "numpy", dtype, compile=True)
    assert model.compiled.kind == "C" and "atan" in model.compiled.source
    np.testing.assert_allclose(found, losses, rtol=NEAR[dtype])
    assert_near(model.params, eager.params, dtype)

    # As CUDA.
    steps, functions = noted(monkeypatch, DeviceSteps), noted(monkeypatch, DeviceFunction)
    model, found = trained(layer, cuda_host.backend() if place != "cupy" else open_place(place), dtype)
    assert model.compiled.kind == "CUDA" and "atan" in model.compiled.source
    np.testing.assert_allclose(found, losses, rtol=NEAR[dtype])
    host = model.backend.to_numpy
    with model.backend.scope(dtype):
        assert_near({k: host(v) for k, v in named_leaves(model.params)}, dict(named_leaves(eager.params)), dtype)
    assert_near(model.predict(X.astype(dtype)), eager.predict(X.astype(dtype)), dtype)
    for bound in steps[0].group.bound.values():  # 24 launches for 142 operations, a third of them products
        assert len(bound.launches) <= 24 < operations(bound.program.tracer.graph) / 5
    (predictions,) = [one.bound.values() for one in functions if one.bound]
    for bound in predictions:  # a product and a kernel for each dense layer with what follows it
        assert len(bound.launches) == 6 < operations(bound.program.tracer.graph) / 4

    # As ONNX.
    exported = to_onnx(model)
    for rows in (1, 7, 40):
        x = X[:rows].astype(dtype)
        assert_near(run(exported, {"X": x})["prediction"], eager.predict(x), dtype)
