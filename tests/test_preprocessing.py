"""Standardize: against scikit-learn, at the ends of the number range, and on the arrays of every library."""

import pickle

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from optional import optional
from sklearn.preprocessing import StandardScaler

from mlpcore.errors import ConfigurationError, DataError
from mlpcore.preprocessing import Standardize

RNG = np.random.default_rng(0)
ROWS = RNG.normal(size=(50, 4)) * [1, 1e-3, 100, 7] + [0, 5, -300, 2]


def test_the_same_as_scikit_learn():
    ours, theirs = Standardize.fit(ROWS), StandardScaler().fit(ROWS)
    rounding = 4 * np.finfo(np.float64).eps * np.abs(ROWS).max(axis=0)
    assert np.all(np.abs(ours.mean - theirs.mean_) <= rounding)
    np.testing.assert_allclose(ours.scale, theirs.scale_, rtol=1e-14)
    np.testing.assert_allclose(ours(ROWS), theirs.transform(ROWS), rtol=1e-10, atol=1e-12)


def test_integers_booleans_and_lists():
    numbers = [[1, 0], [2, 1], [6, 1]]
    expected = StandardScaler().fit_transform(np.array(numbers, dtype=float))
    np.testing.assert_allclose(Standardize.fit(numbers)(numbers), expected, rtol=1e-14)
    np.testing.assert_allclose(Standardize.fit(np.array(numbers))(np.array(numbers)), expected, rtol=1e-14)
    answers = np.array(numbers)[:, 1:] > 0
    np.testing.assert_allclose(Standardize.fit(answers)(answers), expected[:, 1:], rtol=1e-14)


@pytest.mark.parametrize("value", [0.1, 0.0, -3.7e300, 1e-310, 1e17])
def test_a_constant_column_is_only_centred(value):
    x = np.full((7, 1), value)  # seven times 0.1 is not 0.7, so a mean by summing would leave a rest
    scaler = Standardize.fit(x)
    assert scaler.scale == [1.0]
    assert not np.any(scaler(x))
    assert scaler([[value + 2]]) == pytest.approx(value + 2 - value)


@pytest.mark.parametrize(("offset", "spread"), [(1e8, 1e-2), (0, 1e300), (0, 1e-300), (-1e12, 3), (1e-5, 1e-12)])
def test_far_from_zero_and_at_the_ends_of_the_range(offset, spread):
    pattern = np.array([-1.0, 1.0, -1.0, 1.0])[:, None]
    x = offset + spread * pattern
    scaler = Standardize.fit(x)
    # What the offset leaves of the spread in float64 bounds what any computation can know.
    known = 4 * np.finfo(np.float64).eps * max(1.0, abs(offset) / spread)
    np.testing.assert_allclose(scaler.scale, spread, rtol=known)
    np.testing.assert_allclose(scaler(x), pattern, rtol=known)


def test_float32_far_from_zero_loses_nothing():
    x = (1e8 + 50 * RNG.normal(size=(200, 1))).astype("float32")
    scaler = Standardize.fit(x)
    exact = (x.astype("float64") - scaler.mean) / scaler.scale
    np.testing.assert_allclose(scaler(x), exact, atol=4 * np.finfo("float32").eps)
    np.testing.assert_array_equal(scaler.inverse(scaler(x)).astype("float32"), x)


@given(
    st.sampled_from([0.0, 1e6, -1e9, 1e15]),
    st.sampled_from([1e-3, 0.5, 1e3]),
    st.lists(st.floats(-4, 4, width=32), min_size=1, max_size=5),
)
def test_what_was_scaled_comes_back_with_the_digits_of_float64(xp, mean, scale, values):
    y = np.array(values, dtype="float32")[:, None]
    with xp.scope("float32"):
        x = Standardize([mean], [scale]).inverse(xp.put(y))
        assert type(x) is type(xp.put(y))
        found = xp.get(x)
    assert found.dtype == "float64"
    exact = y.astype("float64") * scale + mean
    np.testing.assert_allclose(found, exact, rtol=4 * np.finfo("float64").eps, atol=4 * np.finfo("float64").eps)


def test_whole_numbers_far_from_zero_keep_their_differences(xp):
    numbers = np.arange(2_000_000_000, 2_000_000_050)[:, None]
    scaler = Standardize.fit(numbers)
    with xp.scope("float32"):
        found = xp.get(scaler(xp.put(numbers)))
    np.testing.assert_allclose(found, StandardScaler().fit_transform(numbers), rtol=8 * np.finfo(found.dtype).eps)


def test_other_libraries_trace_and_differentiate_it():
    jax = optional("jax")
    torch = optional("torch")
    scaler = Standardize([1e9], [0.5])
    y = np.array([[0.25], [-3.0]], dtype="float32")
    for way in (scaler, scaler.inverse):
        traced = jax.jit(lambda x, way=way: way(x))(jax.numpy.asarray(y))
        np.testing.assert_array_equal(traced, way(jax.numpy.asarray(y)))
        leaf = torch.tensor(y, requires_grad=True)
        way(leaf).sum().backward()
        assert torch.all(leaf.grad == (0.5 if way == scaler.inverse else 2.0))


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_every_library_gives_the_same(xp, dtype):
    scaler = Standardize.fit(ROWS)
    tolerance = 8 * np.finfo(dtype).eps
    with xp.scope(dtype):
        x = xp.put(ROWS.astype(dtype))
        y, back = scaler(x), scaler.inverse(scaler(x))
        assert type(y) is type(back) is type(x)
        found, returned = xp.get((y, back))
    assert found.dtype == dtype and returned.dtype == "float64"
    spread = np.abs(ROWS).max(axis=0) / scaler.scale  # subtracting the mean costs the digits that it shares with x
    assert np.all(np.abs(found - StandardScaler().fit_transform(ROWS)) <= tolerance * spread)
    np.testing.assert_allclose(returned, ROWS.astype(dtype), rtol=tolerance, atol=tolerance)


def test_integers_of_every_library_become_its_usual_float(xp):
    numbers = np.array([[1, 0], [2, 1], [6, 1]])
    found = xp.get(Standardize.fit(numbers)(xp.put(numbers)))
    assert found.dtype == ("float32" if xp.name in ("torch", "jax") else "float64")
    np.testing.assert_allclose(found, StandardScaler().fit_transform(numbers), rtol=8 * np.finfo(found.dtype).eps)


def test_a_scaling_by_hand():
    scaler = Standardize([0, 1], [255, 2])
    np.testing.assert_array_equal(scaler([[255.0, 5.0]]), [[1.0, 2.0]])
    np.testing.assert_array_equal(scaler.inverse([[1.0, 2.0]]), [[255.0, 5.0]])


def test_it_is_a_value_that_never_changes():
    given = np.array([1.0, 2.0])
    scaler = Standardize(given, [1.0, 1.0])
    given[0] = 9.0
    assert scaler.mean[0] == 1.0
    with pytest.raises(AttributeError, match="is immutable"):
        scaler.mean = given
    with pytest.raises(ValueError, match="read-only"):
        scaler.mean[0] = 5.0
    twin = pickle.loads(pickle.dumps(scaler))
    assert twin == scaler and hash(twin) == hash(scaler) and repr(scaler) == "Standardize(2 columns)"
    assert not twin.mean.flags.writeable
    assert scaler != Standardize([1.0, 2.0], [1.0, 3.0]) and scaler != "Standardize(2 columns)"


@pytest.mark.parametrize(
    ("x", "said"),
    [
        (ROWS[:, :3], r"x has shape \(50, 3\), expected \(rows, 4\)"),
        (ROWS[0], r"x has shape \(4,\), expected \(rows, 4\)"),
        ([["a", "b", "c", "d"]], "expected real numbers"),
    ],
)
def test_what_cannot_be_scaled(x, said):
    scaler = Standardize.fit(ROWS)
    for way in (scaler, scaler.inverse):
        with pytest.raises(DataError, match=said):
            way(x)


def test_what_cannot_be_fitted():
    with pytest.raises(DataError, match=r"NaN or infinity in column 1, 2"):
        Standardize.fit([[0.0, np.nan, np.inf], [0.0, 1.0, 1.0]])
    for x in (np.zeros((0, 2)), np.zeros(3)):
        with pytest.raises(DataError, match="expected"):
            Standardize.fit(x)


@pytest.mark.parametrize(
    ("mean", "scale", "said"),
    [
        ([1.0, 2.0], [1.0], "mean has 2 numbers and scale 1"),
        ([1.0], [0.0], "scale has zero or negative"),
        ([np.nan], [1.0], "mean has shape .* expected finite"),
        ([[1.0]], [[1.0]], r"mean has shape \(1, 1\)"),
        ([], [], r"mean has shape \(0,\)"),
    ],
)
def test_what_is_no_scaling(mean, scale, said):
    with pytest.raises(ConfigurationError, match=said):
        Standardize(mean, scale)
