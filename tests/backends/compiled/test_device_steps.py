"""Training by printed CUDA, on a device of host memory: what eager steps compute, in few launches."""

from typing import Any

import numpy as np
import pytest
from cuda_host import backend, needed
from dense import LABELS, ROWS, Looking, X, deep
from fitting import EAGER, assert_same, state_of

import mlpcore as mc
from mlpcore.random import Stream
from mlpcore.trees import named_leaves

pytestmark = needed


def fit(net: Any, backend: Any, epochs: int = 2, **words: Any) -> tuple[mc.Model, list[float]]:
    """A model after some epochs of ragged batches with row weights, one of them zero, and its losses."""
    weights = 0.5 + Stream(1, "weights").uniform((ROWS,))
    weights[3] = 0
    words = {"dtype": "float64", "seed": 4, **words}
    model = mc.Model(net, mc.SoftmaxCrossEntropy(), mc.AdamW(0.01), backend=backend, **words)
    return model, model.fit(X, LABELS, epochs=epochs, batch_size=8, sample_weight=weights).loss


@pytest.mark.parametrize(
    "net",
    [deep(mc.ReLU()), deep(mc.GELU(), mc.Dropout(0.3)), deep(mc.BatchNorm(7), mc.Dropout(0.5)), deep(mc.LayerNorm(7))],
    ids=["ReLU", "Dropout", "BatchNorm and Dropout", "LayerNorm"],
)
@pytest.mark.parametrize("rules", [{}, {"l2": 0.1, "clip_norm": 0.5, "ema": 0.9}], ids=["plain", "all rules"])
def test_a_fit_is_that_of_eager_steps(net: Any, rules: dict) -> None:
    (model, losses), (other, expected) = fit(net, backend(), **rules), fit(net, EAGER, **rules)
    assert model.compiled.kind == "CUDA" and "__global__" in model.compiled.source
    np.testing.assert_allclose(losses, expected, rtol=1e-10)
    both = zip(named_leaves(model.trainer.state), named_leaves(other.trainer.state), strict=True)
    for (name, got), (_, right) in both:
        assert got.dtype == right.dtype and got.shape == right.shape
        np.testing.assert_allclose(got, right, rtol=0, atol=1e-9 * max(1.0, np.max(np.abs(right))), err_msg=name)


def test_two_calls_of_fit_are_one() -> None:
    once, _ = fit(deep(mc.Dropout(0.4)), backend(), epochs=4)
    model, _ = fit(deep(mc.Dropout(0.4)), backend(), epochs=1)
    weights = 0.5 + Stream(1, "weights").uniform((ROWS,))
    weights[3] = 0
    model.fit(X, LABELS, epochs=3, batch_size=8, sample_weight=weights)
    assert_same(state_of(model), state_of(once))


@pytest.mark.parametrize(("net", "words"), [(deep(mc.ReLU()), {"compile": False}), (deep(Looking()), {})])
def test_what_is_not_compiled_runs_eagerly_and_says_so(net: Any, words: dict) -> None:
    (model, losses), (_, expected) = fit(net, backend(), **words), fit(net, EAGER)
    assert model.compiled.kind == "eager" and losses == expected
    assert ("compile=False" if words else "cannot be traced") in model.compiled.why
