"""Numbers at the ends of their dtype's range: what is squared is scaled first, so that no result is 0 in silence."""

import warnings
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import mlpcore as mc
from mlpcore.metrics import r2, root_mean_squared_error
from mlpcore.random import Stream
from mlpcore.typing import Training

NORMALISATIONS = {
    "LayerNorm": mc.LayerNorm(4),
    "RMSNorm": mc.RMSNorm(4),
    "RMSNorm eps=0.01": mc.RMSNorm(4, eps=0.01),
    "BatchNorm": mc.BatchNorm(4),
}
ROWS = 16


def wide(layer: Any) -> Any:
    """The same layer with its eps as a number, for float64 (RMSNorm's default depends on the dtype)."""
    return mc.RMSNorm(4, eps=float(np.finfo("float32").eps)) if layer == mc.RMSNorm(4) else layer


def passes(layer: Any, x: np.ndarray, dy: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """y, and dx multiplied by the size of x: their derivative has the size of 1 / x."""
    dtype = str(x.dtype)
    params = layer.init(Stream(0), dtype)
    with np.errstate(all="ignore"):
        y, cache = layer.forward(params, x, Training((), np.ones(len(x), dtype)))
        dx, _ = layer.backward(params, cache, dy)
    return y, dx


@pytest.mark.parametrize("name", NORMALISATIONS)
@given(power=st.integers(-126, 123), seed=st.integers(0, 5), shift=st.sampled_from([0.0, 1.0, 8.0]))
def test_normalisation_in_float32_is_that_in_float64_over_the_whole_range(
    name: str, power: int, seed: int, shift: float
) -> None:
    layer = NORMALISATIONS[name]
    rng = np.random.default_rng(seed)
    x = np.ldexp((rng.normal(size=(ROWS, 4)) + shift).astype("float32"), power)
    dy = rng.normal(size=x.shape).astype("float32")
    (y, dx), (expected, slope) = passes(layer, x, dy), passes(wide(layer), x.astype("float64"), dy.astype("float64"))
    assert y.dtype == dx.dtype == np.float32
    np.testing.assert_allclose(y, expected, rtol=0, atol=2e-5 * max(1, np.abs(expected).max()))
    if np.abs(slope).max() < 1e38:  # the derivative of tiny rows may be larger than float32 can hold
        np.testing.assert_allclose(dx, slope, rtol=0, atol=1e-3 * np.abs(slope).max() + 1e-44)


@pytest.mark.parametrize("name", NORMALISATIONS)
def test_large_rows_come_out_like_those_divided_by_a_power_of_two(name: str) -> None:
    """Where eps is nothing beside the squares of either."""
    x = np.ldexp(Stream(3).normal((ROWS, 4)).astype("float32"), 12)
    layer, dy = NORMALISATIONS[name], np.ones_like(x)
    (one, _), (other, _) = passes(layer, x, dy), passes(layer, np.ldexp(x, 68), dy)
    np.testing.assert_allclose(other, one, rtol=0, atol=1e-5)


@given(power=st.integers(-100, 118), limit=st.sampled_from([1e-3, 1.0, 50.0]), rows=st.integers(1, 3))
def test_a_clipped_step_is_as_long_as_the_limit_however_large_the_gradient(power: int, limit: float, rows: int) -> None:
    x = np.ldexp(np.eye(3, dtype="float32")[:rows] + np.float32(0.25), power)
    model = mc.Model(mc.Linear(3, 1), loss=mc.AbsoluteError(), optimizer=mc.SGD(1.0), clip_norm=limit, seed=0)
    exact = np.r_[x.astype("float64").mean(axis=0), 1.0]  # the slope of |z - t| is 1 for z > t
    model.trainer.state.params[...] = 0
    with np.errstate(all="ignore"):
        model.fit(x, np.full((rows, 1), -1.0), epochs=1, batch_size=rows)
    moved = np.concatenate([np.ravel(leaf) for leaf in (model.params["weight"], model.params["bias"])])
    length = np.sqrt(np.sum(exact * exact))
    expected = -exact * min(1.0, limit / length)
    np.testing.assert_allclose(moved, expected, rtol=1e-5, atol=1e-6 * np.abs(expected).max())


@pytest.mark.parametrize("optimizer", [mc.Adam(0.1), mc.RMSprop(0.1), mc.RAdam(0.1), mc.NAdam(0.1), mc.AdamW(0.1)])
def test_a_gradient_whose_square_is_infinite_is_told(optimizer: Any) -> None:
    """An infinite mean of squares would hold the entry where it is for ever."""
    x = np.full((4, 3), 1e25, dtype="float32")
    model = mc.Model(mc.Linear(3, 1), loss=mc.AbsoluteError(), optimizer=optimizer, seed=0)
    before = model.params
    with pytest.raises(mc.NonFiniteError, match=r"Squares count too.*"), np.errstate(all="ignore"):
        model.fit(x, np.zeros((4, 1)), epochs=1)
    np.testing.assert_array_equal(model.params["weight"], before["weight"])
    clipped = mc.Model(mc.Linear(3, 1), loss=mc.AbsoluteError(), optimizer=optimizer, clip_norm=1.0, seed=0)
    with np.errstate(all="ignore"), warnings.catch_warnings():
        clipped.fit(x, np.zeros((4, 1)), epochs=1)
    assert np.any(clipped.params["weight"] != before["weight"])


@given(power=st.integers(-30, 120))
def test_scores_do_not_depend_on_the_unit_of_the_target(power: int) -> None:
    rng = np.random.default_rng(1)
    y = rng.normal(size=(40, 2)).astype("float32")
    z = y + rng.normal(size=y.shape).astype("float32")
    weights = np.ones(40, dtype="float32")
    for metric, unit in ((r2, 1.0), (root_mean_squared_error, 2.0**power)):
        one = float(metric(y, z, weights))
        other = float(metric(np.ldexp(y, power), np.ldexp(z, power), weights))
        assert other == pytest.approx(unit * one, rel=1e-5)
