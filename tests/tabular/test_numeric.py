"""Numbers as columns: scaling, bounds, tails, gaps, sizes that overflow, and scikit-learn's scaler where both agree."""

import json

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from optional import optional

from mlpcore.errors import ModelFileError
from mlpcore.tabular.numeric import NumericEncoder, standard

RNG = np.random.default_rng(0)
NORMAL = RNG.normal(size=500)
NAN = np.nan


def test_the_scaling_is_that_of_scikit_learn():
    preprocessing = optional("sklearn.preprocessing")
    column = NORMAL * 7 + 3
    scaler = preprocessing.RobustScaler().fit(column[:, None])
    encoder = NumericEncoder.fit(column)
    np.testing.assert_allclose(encoder.scaled(column), scaler.transform(column[:, None])[:, 0], rtol=1e-12)


def test_the_formula():
    encoder = NumericEncoder.fit(NORMAL)
    low, center, high = np.quantile(NORMAL, [0.25, 0.5, 0.75])
    z = (NORMAL - center) / (high - low)
    np.testing.assert_allclose(encoder.transform(NORMAL), (z / np.sqrt(1 + (z / 3) ** 2))[:, None], rtol=1e-12)
    assert encoder.names("a") == ["a"]


def test_equal_quartiles_take_half_the_range():
    column = np.array([0.0] * 90 + [2.0] * 10)
    assert NumericEncoder.fit(column).scaled(column).tolist() == [0.0] * 90 + [2.0] * 10
    assert NumericEncoder.fit(np.full(5, 7.0)).transform(np.array([7.0, 8.0])).tolist() == [
        [0.0],
        [pytest.approx(0.9487, 1e-4)],
    ]


def test_a_heavy_tail_has_an_unbounded_column():
    column = np.exp(3 * NORMAL)
    encoder = NumericEncoder.fit(column)
    x = encoder.transform(column)
    assert encoder.names("a") == ["a", "a (tail)"] and x.shape == (500, 2)
    u = (column - column.mean()) / column.std()
    near = np.abs(u) < 10
    assert 400 < near.sum() < 500
    np.testing.assert_allclose(x[near, 1], u[near], atol=1e-9)
    np.testing.assert_allclose(x[~near, 1], 10 * (1 + np.log(u[~near] / 10)), rtol=1e-9)
    far = encoder.transform(np.array([1e3, 1e6, 1e9, 1e12]) * column.max())
    assert np.all(np.abs(far[:, 0]) <= 3) and np.ptp(far[:, 0]) < 1e-3
    np.testing.assert_allclose(np.diff(far[:, 1]), 10 * np.log(1000), rtol=1e-3)  # they stay apart
    mirrored = NumericEncoder.fit(-column).transform(-column)
    np.testing.assert_allclose(mirrored, -x, atol=1e-9)
    for plain in (NORMAL, RNG.uniform(size=500), np.arange(500.0)):
        assert NumericEncoder.fit(plain).tail is None


def test_gaps_are_the_median_and_have_an_indicator():
    encoder = NumericEncoder.fit(np.array([1.0, 2.0, NAN, 4.0]))
    assert encoder.names("a") == ["a", "a is missing"]
    np.testing.assert_array_equal(encoder.transform(np.array([2.0, NAN])), [[0.0, 0.0], [0.0, 1.0]])
    without = NumericEncoder.fit(np.array([1.0, 2.0, 4.0]))
    np.testing.assert_array_equal(without.transform(np.array([NAN, 2.0])), [[0.0], [0.0]])
    np.testing.assert_array_equal(
        NumericEncoder.fit(np.full(3, NAN)).transform(np.array([NAN, 1e-300])), [[0, 1], [1e-300, 0]]
    )


def test_the_median_is_that_of_scikit_learn():
    impute = optional("sklearn.impute")
    column = np.where(RNG.random(500) < 0.2, NAN, NORMAL)
    filled = impute.SimpleImputer(strategy="median", add_indicator=True).fit_transform(column[:, None])
    encoder = NumericEncoder.fit(column)
    x = encoder.transform(column)
    np.testing.assert_array_equal(x[:, 1], filled[:, 1])
    np.testing.assert_array_equal(x[:, 0], encoder.transform(filled[:, 0])[:, 0])


FINITE = st.floats(allow_infinity=False, allow_nan=False)


@given(
    st.lists(FINITE | st.just(NAN), min_size=1, max_size=30), st.lists(FINITE | st.just(NAN), min_size=1, max_size=5)
)
@example([1.7e308, -1.7e308, 0.0], [1.7e308])
@example([5e-324, 0.0], [1e308])
@example([0.0, 1e-300, 2e-300], [1e308])
@example([1e308] * 3 + [-1e308] * 3, [NAN])
@pytest.mark.filterwarnings("error")
def test_every_finite_number_is_encoded_as_finite_ones_and_the_same_after_a_file(column, new):
    encoder = NumericEncoder.fit(np.array(column))
    again = NumericEncoder.from_json(json.loads(json.dumps(encoder.to_json(), allow_nan=False)))
    assert again == encoder
    for values in (np.array(column), np.array(new)):
        x = encoder.transform(values)
        assert x.shape == (len(values), len(encoder.names("a"))) and np.all(np.isfinite(x))
        assert x.tobytes() == again.transform(values).tobytes()
    order = np.argsort(np.nan_to_num(new))
    assert np.all(np.diff(encoder.transform(np.array(new))[order, 0]) >= 0) or np.any(np.isnan(new))


def test_the_plain_scaling_keeps_its_bits():
    encoder = standard(3.7, 0.3)
    assert encoder.transform(NORMAL).tobytes() == ((NORMAL - 3.7) / 0.3)[:, None].tobytes()


@pytest.mark.parametrize(
    "damage",
    [
        {"scale": 0.0},
        {"scale": "1"},
        {"scale": NAN},
        {"center": None},
        {"indicator": 1},
        {"tail": [1.0]},
        {"tail": [0.0, 0.0]},
    ],
)
def test_damaged_values_are_refused(damage):
    stored = NumericEncoder.fit(np.exp(3 * NORMAL)).to_json()
    with pytest.raises(ModelFileError, match="is damaged"):
        NumericEncoder.from_json(stored | damage)
    with pytest.raises(ModelFileError, match="is damaged: scale is missing"):
        NumericEncoder.from_json({name: value for name, value in stored.items() if name != "scale"})
