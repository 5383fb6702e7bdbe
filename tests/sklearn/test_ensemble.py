"""Estimators of several networks: members, means, deviations, intervals, bootstrap samples, threads and failures."""

import math
import os
import pickle
import signal
import threading
import time
from statistics import NormalDist
from typing import Any

import numpy as np
import pytest
from optional import optional

sklearn = optional("sklearn")

from scipy.sparse import csr_matrix  # noqa: E402
from sklearn import config_context, get_config  # noqa: E402
from sklearn.base import clone  # noqa: E402
from sklearn.metrics import accuracy_score, r2_score  # noqa: E402

import mlpcore as mc  # noqa: E402
from mlpcore.errors import ConfigurationError, MlpcoreWarning  # noqa: E402
from mlpcore.sklearn import LearningCurve, MLPClassifier, MLPRegressor  # noqa: E402
from mlpcore.training.interruption import shared_interruption  # noqa: E402

RNG = np.random.default_rng(0)
X = RNG.normal(size=(120, 4))
LABELS = np.argmax(X @ RNG.normal(size=(4, 3)), axis=1)
BINARY = np.where(LABELS == 0, "yes", "no")
TAGS = (X[:, :3] > 0).astype(int)
Y = X[:, 0] + 0.3 * X[:, 1] ** 2
OUTPUTS = np.stack([Y, -X[:, 2]], axis=1)
HELD, HELD_Y = X[:30] + 0.1, Y[:30] + 0.05
WEIGHTS = np.linspace(0.5, 2, 120)

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
ALONE = {"n_members": 1, "bootstrap": False, "oob_score": False}


def classifier(**words: Any) -> MLPClassifier:
    words = {"hidden_layer_sizes": 8, "random_state": 0, "max_iter": 8, "learning_rate_init": 0.02} | words
    return MLPClassifier(**({"n_members": 3} | words))


def regressor(**words: Any) -> MLPRegressor:
    words = {"hidden_layer_sizes": 8, "random_state": 0, "max_iter": 8, "learning_rate_init": 0.02} | words
    return MLPRegressor(**({"n_members": 3} | words))


def flat(estimator: Any) -> np.ndarray:
    return np.concatenate([np.asarray(part).reshape(-1) for part in (*estimator.coefs_, *estimator.intercepts_)])


def alone(ensemble: Any, i: int) -> Any:
    """A clone with the seed of member i, not fitted."""
    return clone(ensemble).set_params(**ALONE, random_state=ensemble.estimators_[i].random_state)


def seeds(ensemble: Any) -> list[int]:
    return [member.random_state for member in ensemble.estimators_]


# --- members


@pytest.mark.parametrize(
    ("model", "y", "words"),
    [
        (classifier(), LABELS, {}),
        (classifier(solver="sgd", learning_rate="adaptive"), BINARY, {}),
        (classifier(solver="lbfgs"), LABELS, {"sample_weight": WEIGHTS}),
        (classifier(dropout=0.2, normalization="batch", batch_size=32), TAGS, {}),
        (classifier(early_stopping=True, class_weight="balanced"), LABELS, {"sample_weight": WEIGHTS}),
        (classifier(early_stopping=True, scoring="roc_auc", compat="sklearn"), BINARY, {}),
        (classifier(backend="torch"), LABELS, {}),
        (regressor(loss="gaussian", clip_norm=1.0), OUTPUTS, {}),
        (regressor(loss="quantile", solver="lion", learning_rate="cosine"), Y, {}),
        (regressor(callbacks=[mc.EarlyStopping("loss", patience=1, min_delta=1.0)]), Y, {}),
        (regressor(early_stopping=True), Y, {"validation_data": (HELD, HELD_Y)}),
    ],
)
def test_a_member_is_the_estimator_alone(model: Any, y: Any, words: dict) -> None:
    if model.backend == "torch":
        optional("torch")
    model = clone(model).fit(X, y, **words)
    expected = np.random.RandomState(0).randint(np.iinfo(np.int32).max, size=3)
    assert seeds(model) == expected.tolist() and len(set(seeds(model))) == 3
    for i, member in enumerate(model.estimators_):
        single = alone(model, i).fit(X, y, **words)
        np.testing.assert_array_equal(flat(member), flat(single))
        np.testing.assert_array_equal(member.predict(X), single.predict(X))
        assert vars(member).keys() == vars(single).keys()
        for name in ("loss_", "n_iter_", "loss_curve_", "validation_scores_", "n_features_in_", "n_outputs_"):
            assert getattr(member, name, None) == getattr(single, name, None)
    assert model.n_iter_ == max(member.n_iter_ for member in model.estimators_)
    assert not hasattr(model, "coefs_") and not hasattr(model, "loss_curve_")


def test_many_members_on_threads_have_the_same_bits(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of programs that are compiled, and with more members than threads."""
    monkeypatch.setenv("MLPCORE_NUM_THREADS", "4")
    x = np.random.default_rng(1).normal(size=(3000, 30)).astype(np.float32)
    y = x[:, 0] * x[:, 1]
    model = regressor(n_members=9, hidden_layer_sizes=(40, 20), early_stopping=True, dropout=0.1).fit(x, y)
    for i in range(9):
        np.testing.assert_array_equal(flat(model.estimators_[i]), flat(alone(model, i).fit(x, y)))


def test_tables_of_other_kinds() -> None:
    pandas = optional("pandas")
    frame, dense = pandas.DataFrame(X, columns=list("abcd")), classifier().fit(X, LABELS)
    framed, sparse = classifier().fit(frame, LABELS), classifier().fit(csr_matrix(X), LABELS)
    assert framed.feature_names_in_.tolist() == framed.estimators_[2].feature_names_in_.tolist() == list("abcd")
    np.testing.assert_array_equal(framed.predict_proba(frame), dense.predict_proba(X))
    np.testing.assert_allclose(sparse.predict_proba(csr_matrix(X)), dense.predict_proba(X), rtol=1e-9)
    with pytest.warns(UserWarning, match="valid feature names"):
        framed.predict(X)
    assert classifier(random_state=None).fit(X, LABELS).n_features_in_ == 4


def test_one_network_is_as_before() -> None:
    several = classifier().fit(X, LABELS)
    one = several.set_params(n_members=1).fit(X, LABELS)
    fresh = classifier(n_members=1).fit(X, LABELS)
    assert vars(one).keys() == vars(fresh).keys() and not hasattr(one, "estimators_")
    np.testing.assert_array_equal(flat(one), flat(fresh))
    back = one.set_params(n_members=3).fit(X, LABELS)
    assert vars(back).keys() == vars(classifier().fit(X, LABELS)).keys() and not hasattr(back, "coefs_")
    sampled = back.set_params(n_members=30, bootstrap=True, oob_score=True).fit(X, LABELS)
    assert hasattr(sampled, "oob_score_") and hasattr(sampled, "estimators_samples_")
    again = sampled.set_params(**ALONE).fit(X, LABELS)
    assert vars(again).keys() == vars(fresh).keys() and not hasattr(again, "estimators_samples_")


# --- predictions


@pytest.mark.parametrize("y", [LABELS, BINARY, TAGS], ids=["multiclass", "binary", "multilabel"])
@pytest.mark.parametrize("compat", [None, "sklearn"])
def test_probabilities_are_averaged(y: np.ndarray, compat: str | None) -> None:
    model = classifier(compat=compat).fit(X, y)
    mean = np.mean([member.predict_proba(X) for member in model.estimators_], axis=0)
    np.testing.assert_allclose(model.predict_proba(X), mean, rtol=1e-12)
    np.testing.assert_allclose(model.predict_log_proba(X), np.log(mean), rtol=1e-9, atol=1e-12)
    expected = (mean > 0.5).astype(int) if y is TAGS else model.classes_[np.argmax(mean, axis=1)]
    np.testing.assert_array_equal(model.predict(X), expected)
    assert model.score(X, y) == accuracy_score(y, expected)


def test_logarithms_of_small_probabilities_are_finite() -> None:
    model = classifier().fit(X, LABELS)
    assert np.isfinite(model.predict_log_proba(1e5 * X)).all()
    assert model.predict_log_proba(1e5 * X).min() < -1000


def test_predictions_and_their_deviation() -> None:
    for loss, y in (("squared_error", Y), ("absolute_error", OUTPUTS), ("poisson", np.abs(Y)), ("quantile", Y)):
        model = regressor(loss=loss).fit(X, y)
        members = [member.predict(X) for member in model.estimators_]
        np.testing.assert_allclose(model.predict(X), np.mean(members, axis=0), rtol=1e-12)
        mean, deviation = model.predict(X, return_std=True)
        np.testing.assert_array_equal(mean, model.predict(X))
        np.testing.assert_allclose(deviation, np.std(members, axis=0), rtol=1e-9)
        assert deviation.shape == y.shape
    quantiles = [member.predict_quantiles(X) for member in model.estimators_]
    np.testing.assert_allclose(model.predict_quantiles(X), np.mean(quantiles, axis=0), rtol=1e-12)
    with pytest.raises(ValueError, match="return_std=True needs loss='gaussian'"):
        regressor(n_members=1).fit(X, Y).predict(X, return_std=True)


@pytest.mark.parametrize("y", [Y, OUTPUTS])
def test_the_deviation_of_a_mixture(y: np.ndarray) -> None:
    model = regressor(loss="gaussian").fit(X, y)
    mean, deviation = model.predict(X, return_std=True)
    mixture = model.to_model()
    assert isinstance(mixture, mc.Ensemble) and len(mixture) == 3
    np.testing.assert_allclose(mean.reshape(120, -1), mixture.predict(X)[0], rtol=1e-12)
    np.testing.assert_allclose(deviation.reshape(120, -1), mixture.std(X), rtol=1e-9)
    pairs = [member.predict(X, return_std=True) for member in model.estimators_]
    np.testing.assert_allclose(deviation**2, np.mean([s**2 + (m - mean) ** 2 for m, s in pairs], axis=0), rtol=1e-9)


# --- intervals


def test_conformal_bounds_are_a_quantile_of_the_residuals() -> None:
    """The k-th smallest of m residuals, k = ceil((m + 1) coverage); rows of weight 0 do not count."""
    for y, held in ((Y, HELD_Y), (OUTPUTS, OUTPUTS[:30] + 0.05)):
        for members in (1, 3):
            model = regressor(n_members=members).fit(X, y, validation_data=(HELD, held))
            sizes = np.sort(np.abs(held - model.predict(HELD)), axis=0)
            for coverage in (0.1, 0.5, 0.9, 30 / 31):
                half = sizes[math.ceil(round(31 * coverage, 6)) - 1]
                expected = np.stack([model.predict(X) - half, model.predict(X) + half], axis=-1)
                for method in ("auto", "conformal"):
                    np.testing.assert_allclose(model.predict_interval(X, coverage, method), expected, rtol=1e-12)
    weights = np.r_[np.zeros(10), np.ones(20)]
    weighted = regressor().fit(X, Y, validation_data=(HELD, HELD_Y, weights))
    sizes = np.sort(np.abs(HELD_Y - weighted.predict(HELD))[10:])
    low, high = weighted.predict_interval(X, 0.5).T
    np.testing.assert_allclose((high - low) / 2, sizes[10], rtol=1e-9)


@pytest.mark.parametrize("members", [1, 4])
def test_residuals_are_of_members_that_have_held_a_row_out(members: int) -> None:
    """The rows as `Draws` holds them out, with scikit-learn's splitter after the initial weights are drawn."""
    model = regressor(n_members=members, early_stopping=True, validation_fraction=0.3, max_iter=30).fit(X, Y)
    total, count = np.zeros(120), np.zeros(120)
    for member in model.estimators_ if members > 1 else [model]:
        random = np.random.RandomState(member.random_state)
        for n_in, n_out in ((4, 8), (8, 1)):
            random.uniform(size=(n_in, n_out)), random.uniform(size=n_out)
        held = sklearn.model_selection.train_test_split(np.arange(120), random_state=random, test_size=0.3)[1]
        total[held], count[held] = total[held] + member.predict(X[held]), count[held] + 1
    seen = count > 0
    sizes = np.sort(np.abs(Y[seen] - total[seen] / count[seen]))
    low, high = model.predict_interval(X, 0.8).T
    np.testing.assert_allclose((high - low) / 2, sizes[math.ceil(0.8 * (seen.sum() + 1)) - 1], rtol=1e-9)


@pytest.mark.parametrize("members", [1, 2])
@pytest.mark.parametrize("early_stopping", [False, True])
def test_intervals_have_their_coverage(members: int, early_stopping: bool) -> None:
    """Skewed noise that depends on x. With validation data alone the expected coverage is k / (m + 1) exactly; early
    stopping, which uses the same rows, and members with rows of their own may be off by little."""
    random, inside = np.random.default_rng(2), []
    repetitions, new = 80, 200
    for seed in range(repetitions):
        x = random.normal(size=(80 + new, 2))
        y = x[:, 0] + (0.2 + np.abs(x[:, 1])) * random.exponential(size=80 + new)
        words = {"validation_fraction": 0.5} if early_stopping else {"validation_data": (x[41:80], y[41:80])}
        model = MLPRegressor(hidden_layer_sizes=4, max_iter=5, learning_rate_init=0.05, random_state=seed)
        model.set_params(n_members=members, early_stopping=early_stopping)
        if early_stopping:
            model.set_params(**words).fit(x[:80], y[:80])
        else:
            model.fit(x[:41], y[:41], **words)
        low, high = model.predict_interval(x[80:], 0.8).T
        inside.append(np.mean((low <= y[80:]) & (y[80:] <= high)))
    error = np.std(inside) / np.sqrt(repetitions)
    assert error < 0.015
    assert np.mean(inside) > 0.8 - 3 * error
    if not early_stopping:
        assert np.mean(inside) == pytest.approx(32 / 40, abs=3 * error)


def test_gaussian_bounds() -> None:
    for members, y in ((1, Y), (3, Y), (3, OUTPUTS)):
        model = regressor(n_members=members, loss="gaussian").fit(X, y)
        mean, deviation = model.predict(X, return_std=True)
        z = NormalDist().inv_cdf(0.95)
        expected = np.stack([mean - z * deviation, mean + z * deviation], axis=-1)
        assert expected.shape == (*y.shape, 2)
        for method in ("auto", "gaussian"):
            np.testing.assert_allclose(model.predict_interval(X, method=method), expected, rtol=1e-12)
    held = regressor(loss="gaussian").fit(X, Y, validation_data=(HELD, HELD_Y))
    assert (held.predict_interval(X) == held.predict_interval(X, method="conformal")).all()
    assert (held.predict_interval(X) != held.predict_interval(X, method="gaussian")).all()


def test_intervals_that_a_fit_does_not_allow() -> None:
    plain, held = regressor().fit(X, Y), regressor().fit(X, Y, validation_data=(HELD, HELD_Y))
    for method in ("auto", "conformal"):
        with pytest.raises(ValueError, match="needs held-out rows"):
            plain.predict_interval(X, method=method)
    with pytest.raises(ValueError, match="needs loss='gaussian', the fit had HalfSquaredError"):
        held.predict_interval(X, method="gaussian")
    with pytest.raises(ValueError, match="method is 'jackknife', expected one of auto, conformal, gaussian"):
        held.predict_interval(X, method="jackknife")
    with pytest.raises(ValueError, match=r"coverage=0\.97 needs 33 held-out rows or more, the fit had 30"):
        held.predict_interval(X, 0.97)
    for coverage in (0, 1, 2, -0.1, 0.0, 1.0, float("nan"), True, "0.9", None, [0.9]):
        with pytest.raises(ValueError, match=r"coverage is .* expected a number between 0 and 1"):
            held.predict_interval(X, coverage)
    with pytest.raises(sklearn.exceptions.NotFittedError):
        regressor().predict_interval(X)
    assert not hasattr(classifier(), "predict_interval")
    for once in (False, True):  # the residuals are those of other parameters
        further = regressor(warm_start=True).fit(X, Y, validation_data=(HELD, HELD_Y))
        further.partial_fit(X, Y) if once else further.fit(X, Y)
        with pytest.raises(ValueError, match="needs held-out rows"):
            further.predict_interval(X)


# --- bootstrap


@pytest.mark.parametrize("kind", ["classifier", "regressor"])
@pytest.mark.parametrize("solver", ["adam", "lbfgs"])
def test_bootstrap_samples(kind: str, solver: str) -> None:
    make, y = (classifier, LABELS) if kind == "classifier" else (regressor, Y)
    for weights in (None, WEIGHTS):
        model = make(bootstrap=True, solver=solver).fit(X, y, sample_weight=weights)
        samples = model.estimators_samples_
        for i, rows in enumerate(samples):
            counts = np.bincount(rows, minlength=120)
            assert rows.shape == (120,) and counts.size == 120 and 0.5 < np.mean(counts > 0) < 0.75
            of_rows = counts if weights is None else weights * counts
            single = alone(model, i).fit(X, y, sample_weight=of_rows)
            np.testing.assert_array_equal(flat(model.estimators_[i]), flat(single))
        assert len({tuple(rows) for rows in samples}) == 3
        assert not hasattr(model, "oob_score_")
        with pytest.raises(AttributeError, match="bootstrap=True"):
            make().fit(X, y).estimators_samples_  # noqa: B018


@pytest.mark.parametrize("y", [LABELS, BINARY, TAGS, Y, OUTPUTS], ids=["classes", "two", "tags", "y", "outputs"])
def test_out_of_bag(y: np.ndarray) -> None:
    numeric = y.dtype == float
    model = (regressor if numeric else classifier)(n_members=20, bootstrap=True, oob_score=True).fit(X, y)
    predictions = []
    for row in range(120):
        unseen = [i for i, rows in enumerate(model.estimators_samples_) if row not in rows]
        members = [model.estimators_[i] for i in unseen]
        method = "predict" if numeric else "predict_proba"
        predictions.append(np.mean([getattr(member, method)(X[row : row + 1])[0] for member in members], axis=0))
    mean = np.array(predictions)
    if numeric:
        np.testing.assert_allclose(model.oob_prediction_, mean, rtol=1e-9, atol=1e-12)
        assert model.oob_score_ == pytest.approx(r2_score(y, mean), rel=1e-9)
    else:
        np.testing.assert_allclose(model.oob_decision_function_, mean, rtol=1e-9)
        labels = (mean > 0.5).astype(int) if y is TAGS else model.classes_[np.argmax(mean, axis=1)]
        assert model.oob_score_ == accuracy_score(y, labels)
    assert not hasattr(model, "oob_decision_function_" if numeric else "oob_prediction_")


@pytest.mark.parametrize("loss", ["quantile", "gaussian"])
def test_out_of_bag_predictions_are_points(loss: str) -> None:
    model = regressor(loss=loss, n_members=20, bootstrap=True, oob_score=True).fit(X, Y)
    row = next(row for row in range(120) if row not in model.estimators_samples_[0])
    unseen = [i for i, rows in enumerate(model.estimators_samples_) if row not in rows]
    mean = np.mean([model.estimators_[i].predict(X[[row]])[0] for i in unseen])
    assert model.oob_prediction_[row] == pytest.approx(mean, rel=1e-9)
    assert model.oob_score_ == pytest.approx(r2_score(Y, model.oob_prediction_), rel=1e-9)


def test_rows_that_all_members_have_drawn() -> None:
    with pytest.warns(MlpcoreWarning, match="every member has drawn .* of the 120 rows"):
        model = regressor(n_members=2, bootstrap=True, oob_score=True).fit(X, Y)
    drawn = np.isin(np.arange(120), model.estimators_samples_[0]) & np.isin(
        np.arange(120), model.estimators_samples_[1]
    )
    np.testing.assert_array_equal(np.isnan(model.oob_prediction_), drawn)
    assert model.oob_score_ == pytest.approx(r2_score(Y[~drawn], model.oob_prediction_[~drawn]))
    with pytest.warns(MlpcoreWarning, match="1 of the 1 rows"):
        single = regressor(n_members=2, bootstrap=True, oob_score=True).fit(X[:1], Y[:1])
    assert np.isnan(single.oob_score_) and np.isnan(single.oob_prediction_).all()


# --- arguments


def test_wrong_arguments() -> None:
    for words, said in (
        ({"n_members": 0}, "n_members"),
        ({"n_members": -1}, "n_members"),
        ({"n_members": 1.5}, "n_members"),
        ({"n_members": "2"}, "n_members"),
        ({"n_members": None}, "n_members"),
        ({"n_members": True}, "n_members is True, expected an integer of 1 or more"),
        ({"bootstrap": 1.0}, "bootstrap"),
        ({"oob_score": "yes"}, "oob_score"),
        ({"n_members": 1, "bootstrap": True}, "bootstrap=True needs n_members of 2 or more"),
        ({"oob_score": True}, "oob_score=True needs bootstrap=True"),
    ):
        for make, y in ((classifier, LABELS), (regressor, Y)):
            model = make(**words)
            with pytest.raises(ValueError, match=said):
                model.fit(X, y)
            assert vars(model) == vars(make(**words))
    with pytest.raises(ValueError, match="partial_fit cannot be used with bootstrap=True"):
        regressor(bootstrap=True).partial_fit(X, Y)
    light = np.r_[1.0, np.zeros(119)]
    with pytest.raises(ValueError, match="bootstrap=True drew no row with a weight above 0"):
        regressor(n_members=20, bootstrap=True).fit(X, Y, sample_weight=light)


def test_what_an_ensemble_does_not_have() -> None:
    for model in (classifier(), classifier().fit(X, LABELS)):
        for name in ("transform", "fit_transform", "get_feature_names_out", "set_output"):
            assert not hasattr(model, name) and hasattr(classifier(n_members=1), name)
        with pytest.raises(AttributeError) as caught:
            model.transform(X)
        assert "estimators_[i].transform(X)" in str(caught.value.__cause__)
    assert model.estimators_[0].transform(X).shape == (120, 8)
    with pytest.raises(ConfigurationError, match=r"to_sklearn: .* expected n_members=1"):
        model.to_sklearn()
    assert model.estimators_[1].to_sklearn().predict(X).tolist() == model.estimators_[1].predict(X).tolist()
    with pytest.raises(ValueError, match="is an ensemble, expected one network"):
        LearningCurve.from_estimator(model)
    with pytest.raises(AttributeError, match="partial_fit"):
        classifier(solver="lbfgs").partial_fit(X, LABELS)


# --- further fits


@pytest.mark.parametrize("make", [classifier, regressor])
def test_two_and_two_epochs_are_four(make: Any) -> None:
    y = LABELS if make is classifier else Y
    words = {"dropout": 0.1, "batch_size": 50}
    whole = make(max_iter=4, **words).fit(X, y)
    warm = make(max_iter=2, warm_start=True, **words).fit(X, y)
    kept = seeds(warm)
    warm = pickle.loads(pickle.dumps(warm)).fit(X, y)
    parts = make(**words)
    for _ in range(4):
        parts.partial_fit(X, y, **({"classes": [0, 1, 2]} if make is classifier else {}))
    for model in (warm, parts):
        assert seeds(model) == kept == seeds(whole)
    drawn = make(random_state=np.random.RandomState(0), warm_start=True).fit(X, y)
    assert seeds(drawn) == kept == seeds(drawn.fit(X, y))
    for model in (warm, parts):
        for member, expected in zip(model.estimators_, whole.estimators_, strict=True):
            np.testing.assert_array_equal(flat(member), flat(expected))
            assert member.loss_curve_ == expected.loss_curve_
    assert parts.n_iter_ == 1 and warm.n_iter_ == 2


def test_arguments_between_two_fits() -> None:
    """Take effect in the members, as in one network."""
    model, single = regressor(warm_start=True).fit(X, Y), regressor(n_members=1, warm_start=True)
    single.set_params(random_state=seeds(model)[1]).fit(X, Y)
    for one in (model, single):
        one.set_params(alpha=1.0, learning_rate_init=0.1).fit(X, Y)
    np.testing.assert_array_equal(flat(model.estimators_[1]), flat(single))
    assert model.estimators_[0].alpha == 1.0
    for before, after in ((3, 2), (3, 1), (1, 3)):
        fitted = regressor(n_members=before, warm_start=True).fit(X, Y).set_params(n_members=after)
        for act in (fitted.fit, fitted.partial_fit):
            with pytest.raises(ValueError, match=f"n_members is {after}, but the fit .* had {before}"):
                act(X, Y)


@pytest.mark.parametrize("words", [{}, {"bootstrap": True}, {"warm_start": True}, {"early_stopping": True}])
def test_copies(words: dict) -> None:
    model = regressor(**words).fit(X, Y)
    loaded = pickle.loads(pickle.dumps(model))
    np.testing.assert_array_equal(loaded.predict(X), model.predict(X))
    assert loaded.get_params() == model.get_params()
    fresh = clone(model)
    assert fresh.get_params() == model.get_params() and not hasattr(fresh, "estimators_")
    np.testing.assert_array_equal(fresh.fit(X, Y).predict(X), model.predict(X))
    if "bootstrap" in words:
        np.testing.assert_array_equal(loaded.estimators_samples_, model.estimators_samples_)
    if "early_stopping" in words:
        np.testing.assert_array_equal(loaded.predict_interval(X), model.predict_interval(X))
    assert model.predict(X).shape == (120,)  # n_members is read in fits only
    np.testing.assert_array_equal(loaded.set_params(n_members=1).predict(X), model.predict(X))


def test_onnx() -> None:
    onnxruntime = optional("onnxruntime")
    optional("onnx")

    def run(model: Any) -> list[np.ndarray]:
        session = onnxruntime.InferenceSession(model.to_onnx().SerializeToString())
        return session.run(None, {"X": X})

    for y in (LABELS, BINARY, TAGS):
        model = classifier().fit(X, y)
        labels, probabilities = run(model)
        np.testing.assert_array_equal(labels, model.predict(X))
        np.testing.assert_allclose(probabilities, model.predict_proba(X), rtol=1e-9)
    for loss, y in (("squared_error", OUTPUTS), ("gaussian", Y), ("quantile", Y)):
        model = regressor(loss=loss).fit(X, y)
        values, *others = run(model)
        np.testing.assert_allclose(values, model.predict(X).reshape(120, -1), rtol=1e-9, atol=1e-12)
        if loss == "gaussian":
            np.testing.assert_allclose(np.sqrt(others[0][:, 0]), model.predict(X, return_std=True)[1], rtol=1e-9)
        if loss == "quantile":
            np.testing.assert_allclose(others[0], model.predict_quantiles(X), rtol=1e-9, atol=1e-12)


# --- threads, callbacks and failures

MET = threading.Barrier(2)
NOTES: list[Any] = []


class Meet:
    """Waits in the first epoch until another member is there too."""

    def on_epoch_end(self, report: Any) -> None:
        if report.epoch == 1:
            MET.wait(timeout=30)
        NOTES.append((threading.get_ident(), get_config()["assume_finite"], np.geterr()["over"], id(self)))


def test_members_are_trained_side_by_side(monkeypatch: pytest.MonkeyPatch) -> None:
    """On threads with the configuration of the caller; each member has its own copy of a callback."""
    monkeypatch.setenv("MLPCORE_NUM_THREADS", "2")
    NOTES.clear()
    MET.reset()
    given = Meet()
    with config_context(assume_finite=True):
        model = regressor(n_members=2, callbacks=[given], max_iter=3).fit(X, Y)
    threads, finite, _, callbacks = map(set, zip(*NOTES, strict=True))
    assert len(NOTES) == 6 and len(threads) == 2 and threading.get_ident() not in threads
    assert finite == {True}
    assert len(callbacks) == 2 and id(given) not in callbacks
    assert callbacks == {id(member.callbacks[0]) for member in model.estimators_}


def test_one_progress_line(capsys: pytest.CaptureFixture) -> None:
    regressor(progress=True, max_iter=2).fit(X, Y)
    assert capsys.readouterr().err.count("epoch 2/2") == 1


class Fail:
    """Fails in the second epoch of one member, and notes the epochs."""

    def __init__(self, seed: int) -> None:
        self.seed = seed

    def on_epoch_end(self, report: Any) -> None:
        NOTES.append(report.epoch)
        if self.seed == len(NOTES):
            raise ArithmeticError("planted")


@pytest.mark.parametrize("threads", ["1", "2"])
def test_a_failed_member_changes_nothing(monkeypatch: pytest.MonkeyPatch, threads: str) -> None:
    monkeypatch.setenv("MLPCORE_NUM_THREADS", threads)
    model = regressor(warm_start=True, max_iter=4).fit(X, Y)
    expected = pickle.loads(pickle.dumps(model)).fit(X, Y).predict(X)
    before, kept = dict(vars(model)), [flat(member) for member in model.estimators_]
    NOTES.clear()
    with pytest.raises(ArithmeticError, match="planted"):
        model.set_params(callbacks=[Fail(6)]).fit(X, Y)
    assert len(NOTES) >= 6 and (threads == "2" or len(NOTES) == 6)
    model.set_params(callbacks=())
    assert vars(model) == before
    for member, parameters in zip(model.estimators_, kept, strict=True):
        np.testing.assert_array_equal(flat(member), parameters)
    np.testing.assert_array_equal(model.fit(X, Y).predict(X), expected)


def press_ctrl_c() -> None:
    """Send SIGINT, and wait until the main thread has noted it."""
    os.kill(os.getpid(), signal.SIGINT)
    for _ in range(1000):
        if shared_interruption():
            return
        time.sleep(0.01)


class Press:
    """Ctrl-C after the third epoch."""

    def on_epoch_end(self, report: Any) -> None:
        NOTES.append(report.epoch)
        if report.epoch == 3:
            press_ctrl_c()


@pytest.mark.filterwarnings("ignore:Training interrupted by user")
@pytest.mark.parametrize(("backend", "threads"), [("numpy", "1"), ("numpy", "2"), ("torch", "2")])
def test_ctrl_c_ends_all_members(ctrl_c: None, monkeypatch: pytest.MonkeyPatch, backend: str, threads: str) -> None:
    monkeypatch.setenv("MLPCORE_NUM_THREADS", threads)
    if backend == "torch":
        optional("torch")
    model = regressor(n_members=4, backend=backend).fit(X, Y)
    before, expected = model.estimators_, model.predict(X)
    NOTES.clear()
    with pytest.raises(KeyboardInterrupt):
        model.set_params(callbacks=[Press()], max_iter=20_000, tol=0.0, n_iter_no_change=20_000).fit(X, Y)
    assert NOTES == [1, 2, 3] or ((backend, threads) == ("numpy", "2") and 3 < len(NOTES) < 10_000)
    assert model.estimators_ is before
    np.testing.assert_array_equal(model.predict(X), expected)


@pytest.mark.filterwarnings("ignore:Training interrupted by user")
def test_ctrl_c_in_lbfgs_ends_all_members(ctrl_c: None, monkeypatch: pytest.MonkeyPatch) -> None:
    lines: list[str] = []

    def press(text: str) -> None:
        lines.append(text)
        if text.startswith("Iteration 4"):
            press_ctrl_c()

    monkeypatch.setenv("MLPCORE_NUM_THREADS", "1")
    monkeypatch.setattr("builtins.print", press)
    model = regressor(solver="lbfgs", max_iter=10**6, max_fun=10**9, tol=0.0, alpha=1.0, verbose=True)
    with pytest.raises(KeyboardInterrupt):
        model.fit(X, Y)
    monkeypatch.undo()
    assert not hasattr(model, "estimators_") and len(lines) == 4


@pytest.mark.parametrize("library", ["array_api_strict", "torch"])
def test_arrays_of_other_libraries(library: str) -> None:
    xp = optional(library)
    x = xp.asarray(X)
    model, host = classifier().fit(x, LABELS), classifier().fit(X, LABELS)
    assert type(model.predict_proba(x)) is type(x)
    np.testing.assert_allclose(np.asarray(model.predict_proba(x)), host.predict_proba(X), rtol=1e-6)
    noisy = regressor(loss="gaussian", early_stopping=True).fit(x, Y)
    mean, deviation = noisy.predict(x, return_std=True)
    bounds = noisy.predict_interval(x)
    assert type(mean) is type(deviation) is type(bounds) is type(x) and tuple(bounds.shape) == (120, 2)
    assert type(noisy.predict_interval(x, method="gaussian")) is type(x)
    sampled = regressor(n_members=20, bootstrap=True, oob_score=True).fit(x, Y)
    assert sampled.oob_prediction_.shape == (120,)
