"""MLPRegressor(standardize_target=True): it learns targets of any size as it learns standardized ones."""

import pickle
from typing import Any

import numpy as np
import pytest
from optional import optional

sklearn = optional("sklearn")

from sklearn.compose import TransformedTargetRegressor  # noqa: E402
from sklearn.preprocessing import StandardScaler  # noqa: E402

import mlpcore as mc  # noqa: E402
from mlpcore.sklearn import MLPRegressor  # noqa: E402

RANDOM = np.random.default_rng(0)
X = RANDOM.normal(size=(240, 3))
SHAPE = np.sin(X[:, 0]) + X[:, 1] * X[:, 2] + 0.1 * RANDOM.normal(size=240)
PRICES = 240_000 + 90_000 * SHAPE
TWO = np.stack([PRICES, 0.001 * X[:, 0] - 3], axis=1)
FAST: dict[str, Any] = {"hidden_layer_sizes": 16, "random_state": 0, "max_iter": 60, "learning_rate_init": 0.01}

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")


def regressor(**words: Any) -> MLPRegressor:
    return MLPRegressor(**(FAST | {"standardize_target": True} | words))


def test_prices_are_learnt() -> None:
    assert regressor(standardize_target=False).fit(X, PRICES).score(X, PRICES) < 0.2
    assert regressor().fit(X, PRICES).score(X, PRICES) > 0.9


@pytest.mark.parametrize("y", [PRICES, TWO], ids=["one", "two"])
@pytest.mark.parametrize("loss", ["squared_error", "absolute_error", "huber"])
@pytest.mark.parametrize("solver", ["adam", "lbfgs"])
def test_it_is_the_fit_of_the_standardized_target(loss: str, solver: str, y: np.ndarray) -> None:
    """scikit-learn's TransformedTargetRegressor around the estimator does the same, step by step."""
    words = {"loss": loss, "solver": solver}
    fitted = regressor(**words).fit(X, y)
    around = TransformedTargetRegressor(regressor(standardize_target=False, **words), transformer=StandardScaler())
    np.testing.assert_allclose(fitted.predict(X), around.fit(X, y).predict(X), rtol=1e-5)
    assert fitted.loss_ == pytest.approx(around.regressor_.loss_, rel=1e-6)


def test_early_stopping_and_validation_rows_are_in_units_of_y() -> None:
    words = {"early_stopping": True, "n_iter_no_change": 60}
    fitted, plain = regressor(**words).fit(X, PRICES), regressor(standardize_target=False, **words).fit(X, SHAPE)
    np.testing.assert_allclose(fitted.validation_scores_, plain.validation_scores_, atol=0.2)
    assert fitted.best_validation_score_ > 0.8
    scored = regressor(scoring="neg_mean_absolute_error", **words).fit(X, PRICES)
    assert min(scored.validation_scores_) < -30_000 and scored.best_validation_score_ > -40_000
    held = regressor().fit(X[:200], PRICES[:200], validation_data=(X[200:], PRICES[200:]))
    assert held.validation_loss_curve_[0] < 2 and held.validation_loss_curve_[-1] < 0.2
    low, high = held.predict_interval(X, coverage=0.9).T
    assert 0.8 < np.mean((low <= PRICES) & (high >= PRICES)) <= 1 and 10_000 < np.mean(high - low) < 150_000


def test_quantiles_and_deviations_are_in_units_of_y() -> None:
    quantiles = regressor(loss="quantile", max_iter=200).fit(X, PRICES).predict_quantiles(X)
    assert quantiles.shape == (240, 3) and 0.7 < np.mean((quantiles[:, 0] < PRICES) & (quantiles[:, 2] > PRICES)) < 0.95
    gaussian = regressor(loss="gaussian", max_iter=200).fit(X, PRICES)
    mean, deviation = gaussian.predict(X, return_std=True)
    assert 2_000 < np.mean(deviation) < 40_000
    assert 0.4 < np.mean(np.abs(mean - PRICES) < deviation) < 0.95
    _, several = regressor(n_members=3).fit(X, PRICES).predict(X, return_std=True)
    assert 1_000 < np.mean(several) < 60_000


def test_weights_of_zero_and_gaps_do_not_count() -> None:
    far, weights = np.append(PRICES, 1e12), np.append(np.ones(240), 0.0)
    rows = np.vstack([X, X[:1]])
    full = {"batch_size": 241, "shuffle": False}
    fitted = regressor(**full).fit(rows, far, sample_weight=weights)
    expected = regressor(batch_size=240, shuffle=False).fit(X, PRICES)
    np.testing.assert_allclose(fitted.predict(X), expected.predict(X), rtol=1e-6)
    gaps = np.where(RANDOM.random(TWO.shape) < 0.3, np.nan, TWO)
    assert regressor(missing_targets="skip", max_iter=200).fit(X, gaps).score(X, TWO) > 0.8


@pytest.mark.parametrize("way", ["partial_fit", "warm_start"])
def test_later_fits_keep_the_units(way: str) -> None:
    net = regressor(warm_start=way == "warm_start", max_iter=30)
    fit = net.fit if way == "warm_start" else net.partial_fit
    fit(X, PRICES)
    first = net._predictor.loss
    for _ in range(30):
        fit(X[:100], PRICES[:100])
    assert net._predictor.loss == first and net.score(X, PRICES) > 0.5
    assert regressor().fit(X, PRICES).fit(X, SHAPE)._predictor.loss != first


def test_conversions_give_the_units_of_y() -> None:
    onnxruntime = optional("onnxruntime")
    fitted = regressor().fit(X, TWO)
    expected = fitted.predict(X)
    np.testing.assert_allclose(fitted.to_model().predict(X), expected, rtol=1e-12)
    with pytest.warns(mc.MlpcoreWarning, match="scikit-learn has no standardize_target=True"):
        theirs = fitted.to_sklearn()
    np.testing.assert_allclose(theirs.predict(X), expected, rtol=1e-9)
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(fitted)).predict(X), expected)
    session = onnxruntime.InferenceSession(fitted.to_onnx().SerializeToString())
    np.testing.assert_allclose(session.run(["variable"], {"X": X})[0], expected, rtol=1e-9)


def test_extreme_targets() -> None:
    for y in (1e300 * SHAPE, 1e-300 * SHAPE, 1e12 + SHAPE):
        predicted = regressor(max_iter=200).fit(X, y).predict(X)
        assert np.abs(predicted - y).mean() < 0.2 * np.abs(y - y.mean()).mean()
    constant = regressor().fit(X, np.full(240, 5.0)).predict(X)
    np.testing.assert_allclose(constant, 5, atol=0.5)


def test_losses_of_counts_are_refused() -> None:
    with pytest.raises(ValueError, match="standardize_target=True needs a loss whose predictions are values of y"):
        regressor(loss="poisson").fit(X, np.ones(240))
    with pytest.raises(ValueError, match="'standardize_target' parameter of MLPRegressor must be"):
        regressor(standardize_target="yes").fit(X, PRICES)
