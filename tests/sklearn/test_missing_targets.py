"""Regressors on targets with gaps: what is missing is left out of fits and scores, and nothing else changes."""

import math
from typing import Any

import numpy as np
import pytest
from optional import optional

sklearn = optional("sklearn")

from scipy.sparse import csr_array  # noqa: E402
from sklearn.base import clone  # noqa: E402
from sklearn.metrics import mean_absolute_error, r2_score  # noqa: E402

import mlpcore as mc  # noqa: E402
from mlpcore.sklearn import MLPRegressor  # noqa: E402
from mlpcore.sklearn.constraints import REGRESSION_LOSSES  # noqa: E402

RNG = np.random.default_rng(0)
X = RNG.normal(size=(120, 4))
Y = np.tanh(X @ RNG.normal(size=(4, 3)))
THERE = RNG.random(Y.shape) > 0.3
GAPPED = np.where(THERE, Y, np.nan)
WEIGHTS = RNG.uniform(0.5, 2.0, size=120)

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")


def regressor(**words: Any) -> MLPRegressor:
    words = {"hidden_layer_sizes": (8,), "random_state": 0, "max_iter": 20, "missing_targets": "skip"} | words
    return MLPRegressor(**words)


def same(one: MLPRegressor, other: MLPRegressor) -> None:
    for a, b in zip(one.coefs_ + one.intercepts_, other.coefs_ + other.intercepts_, strict=True):
        np.testing.assert_array_equal(a, b)


def r2(y: np.ndarray, predicted: np.ndarray, weights: np.ndarray | None = None) -> float:
    """Column by column on the rows that are there."""
    scores = []
    for j in range(y.shape[1]):
        rows = ~np.isnan(y[:, j])
        of_rows = None if weights is None else weights[rows]
        scores.append(r2_score(y[rows, j], predicted[rows, j], sample_weight=of_rows))
    return float(np.mean(scores))


@pytest.mark.parametrize("backend", ["numpy", "torch", "jax", "array_api_strict"])
def test_lbfgs_solves_each_column_on_its_own_rows(backend: str) -> None:
    """A linear model without penalty is least squares, weighted.

    L-BFGS ends where the objective, of second order in the parameters, falls by 2e-9 of its value."""
    if backend in ("torch", "jax"):
        optional(backend)
    model = regressor(hidden_layer_sizes=(), solver="lbfgs", alpha=0.0, tol=1e-12, max_iter=500, backend=backend)
    model.fit(X, GAPPED, sample_weight=WEIGHTS)
    rows, least = np.c_[X, np.ones(120)], 0.0
    for j in range(3):
        root = np.sqrt(WEIGHTS[THERE[:, j]])
        expected = np.linalg.lstsq(rows[THERE[:, j]] * root[:, None], Y[THERE[:, j], j] * root)[0]
        got = np.append(np.asarray(model.coefs_[0])[:, j], np.asarray(model.intercepts_[0])[j])
        np.testing.assert_allclose(got, expected, atol=1e-4)
        least += np.sum(((rows @ expected)[THERE[:, j]] - Y[THERE[:, j], j]) ** 2 * root**2) / 2
    assert model.loss_ == pytest.approx(3 * least / np.sum(WEIGHTS[:, None] * THERE), rel=1e-7)


@pytest.mark.parametrize("words", [{}, {"early_stopping": True}, {"solver": "lbfgs"}, {"compat": "sklearn"}])
def test_whole_rows_that_are_missing_are_rows_of_weight_zero(words: dict) -> None:
    present = THERE[:, 0]
    y = np.where(present[:, None], Y, np.nan)
    one, two = regressor(**words), regressor(**words)
    one.fit(X, y, sample_weight=WEIGHTS)
    two.fit(X, Y, sample_weight=WEIGHTS * present)
    same(one, two)
    assert one.score(X, y) == pytest.approx(one.score(X[present], Y[present]), rel=1e-12)


@pytest.mark.parametrize("loss", REGRESSION_LOSSES)
@pytest.mark.parametrize("solver", ["adam", "lbfgs"])
def test_every_loss_and_what_stands_in_a_gap(loss: str, solver: str) -> None:
    """The loss is that of `mlpcore.Model` on the same gaps, as the estimator's parameters leave it."""
    y = np.abs(GAPPED)
    model = regressor(loss=loss, solver=solver, alpha=0.0, max_iter=5).fit(X, y, validation_data=None)
    whole = model.to_model()
    value = whole.evaluate(X, y, missing_targets="skip")["loss"]
    filled = np.where(THERE, y, 3.0)
    assert whole.evaluate(X, filled, sample_weight=THERE.astype(float))["loss"] == pytest.approx(value, rel=1e-12)
    if solver == "lbfgs":
        assert model.loss_ == pytest.approx(value, rel=1e-9)


def test_the_loss_curve_is_the_mean_of_the_batches() -> None:
    """By their numbers of rows, as scikit-learn has it; the steps are too small to change anything."""
    words: dict[str, Any] = {"alpha": 0.0, "shuffle": False, "batch_size": 32, "learning_rate_init": 1e-12}
    model = regressor(**words, max_iter=1).fit(X, GAPPED)
    squares = (model.predict(X) - GAPPED) ** 2 / 2
    losses = [np.nanmean(squares[start : start + 32]) * 3 for start in range(0, 120, 32)]
    assert model.loss_curve_ == pytest.approx([np.average(losses, weights=[32, 32, 32, 24])], rel=1e-8)


def test_the_score_is_the_mean_of_the_columns_on_their_rows() -> None:
    model = regressor().fit(X, GAPPED)
    predicted = model.predict(X)
    assert model.score(X, GAPPED) == pytest.approx(r2(GAPPED, predicted), rel=1e-12)
    assert model.score(X, GAPPED, WEIGHTS) == pytest.approx(r2(GAPPED, predicted, WEIGHTS), rel=1e-12)
    assert model.score(X, Y) == r2_score(Y, predicted)
    alone = GAPPED.copy()
    alone[1:, 2] = np.nan  # one row says nothing of R2
    alone[0, 2] = 1.0
    assert model.score(X, alone) == pytest.approx(r2(alone[:, :2], predicted[:, :2]), rel=1e-12)
    flat = regressor().fit(X, GAPPED[:, 0])
    rows = THERE[:, 0]
    expected = r2_score(Y[rows, 0], flat.predict(X[rows]))
    assert flat.score(X, GAPPED[:, 0]) == pytest.approx(expected) == pytest.approx(flat.score(X, GAPPED[:, :1]))
    with pytest.raises(ValueError, match="inconsistent numbers of samples"):
        model.score(X, GAPPED[1:])


@pytest.mark.parametrize("backend", ["numpy", "torch"])
def test_early_stopping_scores_what_is_there(backend: str) -> None:
    if backend in ("torch", "jax"):
        optional(backend)
    held, there = X[80:], GAPPED[80:]
    words: dict[str, Any] = {"early_stopping": True, "max_iter": 1, "backend": backend}
    model = regressor(**words).fit(X[:80], GAPPED[:80], validation_data=(held, there, WEIGHTS[80:]))
    errors = (np.asarray(model.predict(held)) - there) ** 2 / 2 * WEIGHTS[80:, None]
    loss = np.nansum(errors) / (np.sum(WEIGHTS[80:, None] * THERE[80:]) / 3)
    assert model.validation_loss_curve_ == pytest.approx([loss])
    assert model.validation_scores_ == pytest.approx([model.score(held, there, WEIGHTS[80:])])
    by_loss = regressor(**words, scoring="loss").fit(X[:80], GAPPED[:80], validation_data=(held, there))
    assert by_loss.validation_scores_ == [-value for value in by_loss.validation_loss_curve_]
    split = regressor(early_stopping=True, learning_rate_init=0.05, max_iter=60).fit(X, GAPPED)
    assert split.best_validation_score_ > 0.8


def test_another_score_gets_the_rows_without_gaps() -> None:
    held, there, rows = X[60:], GAPPED[60:], THERE[60:].all(axis=1)
    words: dict[str, Any] = {"early_stopping": True, "max_iter": 1, "scoring": "neg_mean_absolute_error"}
    for x in (X, csr_array(X)):
        model = regressor(**words).fit(x[:60], GAPPED[:60], validation_data=(x[60:], there, WEIGHTS[60:]))
        expected = -mean_absolute_error(Y[60:][rows], model.predict(held[rows]), sample_weight=WEIGHTS[60:][rows])
        assert model.validation_scores_ == pytest.approx([expected])
    never = np.where(np.arange(3) == np.arange(60)[:, None] % 3, np.nan, Y[60:])
    with pytest.raises(ValueError, match="scoring='neg_mean_absolute_error' needs rows without gaps in y, and none of"):
        regressor(**words).fit(X[:60], Y[:60], validation_data=(held, never))


def test_calls_of_partial_fit_are_a_fit() -> None:
    once, often = regressor(max_iter=4, n_iter_no_change=10).fit(X, GAPPED), regressor()
    for _ in range(4):
        often.partial_fit(X, GAPPED)
    same(once, often)
    often.partial_fit(X, Y)  # rows without a gap are no other step
    with pytest.raises(mc.DataError, match="every entry is NaN"):
        often.partial_fit(X, np.full_like(Y, np.nan))


def test_tables_lists_and_arrays_of_other_libraries() -> None:
    pandas, torch = optional("pandas"), optional("torch")
    expected = regressor().fit(X, GAPPED)
    objects = np.where(THERE, Y.astype(object), None)
    frame = pandas.DataFrame(GAPPED)
    others = (objects, objects.tolist(), GAPPED.tolist(), frame, frame.convert_dtypes(), frame.astype(object))
    for y in (*others, torch.asarray(GAPPED), csr_array(X) @ np.zeros((4, 1)) + GAPPED):
        same(regressor().fit(X, y), expected)
        assert expected.score(X, y) == expected.score(X, GAPPED)
    with_na = np.where(THERE[:, 0], Y[:, 0].astype(object), pandas.NA)
    one = regressor().fit(X, GAPPED[:, 0])
    for y in (with_na, pandas.Series(with_na), pandas.Series(with_na).convert_dtypes()):
        same(regressor().fit(X, y), one)
    with pytest.warns(match="A column-vector y was passed"):
        same(regressor().fit(X, with_na[:, None]), one)
    np.testing.assert_allclose(regressor().fit(torch.asarray(X), GAPPED).score(X, GAPPED), expected.score(X, GAPPED))
    np.testing.assert_allclose(regressor().fit(csr_array(X), GAPPED).coefs_[0], expected.coefs_[0], rtol=1e-9)


def test_without_gaps_nothing_changes() -> None:
    for words in ({}, {"early_stopping": True}, {"solver": "lbfgs"}):
        same(regressor(**words).fit(X, Y), regressor(**words, missing_targets="error").fit(X, Y))


class OfRows(mc.HalfSquaredError):
    """A user's loss that takes weights of rows only."""

    entry_weights = False


@pytest.mark.parametrize(
    ("words", "y", "weights", "kind", "said"),
    [
        (
            {"missing_targets": "error"},
            GAPPED,
            None,
            mc.DataError,
            "leave out what is missing by missing_targets='skip'",
        ),
        ({"missing_targets": "drop"}, Y, None, ValueError, "'missing_targets' parameter of MLPRegressor must be a str"),
        ({}, np.where(THERE, Y, np.inf), None, ValueError, "Input y contains infinity"),
        ({}, np.full_like(Y, np.nan), None, mc.DataError, r"^y has shape \(120, 3\) and every entry is NaN"),
        ({}, GAPPED, np.where(THERE.any(axis=1), 0.0, 1.0) + 0.0 * WEIGHTS, ValueError, "non-zero|weight zero"),
        ({}, GAPPED, THERE.astype(float), ValueError, "Sample weights must be 1D"),
        (
            {"loss": OfRows()},
            GAPPED,
            None,
            mc.ConfigurationError,
            "missing_targets is 'skip', which needs a loss with a",
        ),
        ({}, np.ma.MaskedArray(Y, mask=~THERE), None, mc.DataError, "^y has masked entries"),
        ({}, np.where(THERE, Y, np.nan).astype(str), None, mc.DataError, "^y has dtype <U"),
        ({}, [[1.0, np.nan]] * 119 + [[1.0]], None, ValueError, "."),
    ],
)
def test_what_is_refused(words: dict, y: Any, weights: Any, kind: type, said: str) -> None:
    model = regressor(**words)
    with pytest.raises(kind, match=said):
        model.fit(X, y, weights)
    assert not hasattr(model, "coefs_")


def test_the_argument_is_like_the_others() -> None:
    model = clone(regressor().fit(X, GAPPED))
    assert model.missing_targets == "skip" and MLPRegressor().missing_targets == "error"
    with pytest.warns(mc.MlpcoreWarning, match="scikit-learn has no missing_targets='skip'"):
        regressor().fit(X, GAPPED).to_sklearn()


@pytest.mark.filterwarnings("ignore:every member has drawn")
def test_intervals_and_bootstrap_of_targets_with_gaps() -> None:
    """Each column has the residuals of the held-out rows that it has; a member draws rows with their gaps."""
    rng = np.random.default_rng(3)
    x = rng.normal(size=(120, 3))
    y = np.stack([x[:, 0], 5 * x[:, 1]], axis=1) + rng.normal(size=(120, 2)) * [0.1, 1.0]
    y[rng.random((120, 2)) < 0.3] = np.nan
    y[119] = np.nan
    held = y[80:]
    words = {"hidden_layer_sizes": (8,), "max_iter": 20, "random_state": 0, "missing_targets": "skip"}
    net = MLPRegressor(**words).fit(x[:80], y[:80], validation_data=(x[80:], held))
    forest = MLPRegressor(**words, n_members=3, bootstrap=True, oob_score=True).fit(x, y)
    bounds, prediction = net.predict_interval(x[80:], coverage=0.8), net.predict(x[80:])
    for j in range(2):
        residuals = np.sort(np.abs(held - prediction)[:, j])
        count = int(np.sum(~np.isnan(residuals)))
        half = residuals[math.ceil((count + 1) * 0.8) - 1]
        np.testing.assert_allclose(bounds[:, j, 1] - prediction[:, j], half, rtol=1e-6)
    assert np.isfinite(forest.oob_score_) and np.isfinite(forest.predict(x)).all()
    with pytest.raises(ValueError, match=r"coverage=0.99 needs 99 held-out rows or more, the fit had \d+"):
        net.predict_interval(x, coverage=0.99)
