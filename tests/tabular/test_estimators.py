"""TabularClassifier and TabularRegressor on small mixed tables, and scikit-learn's own checks."""

import dataclasses
import pickle
from typing import Any

import numpy as np
import pytest
from optional import optional

sklearn = optional("sklearn")
pandas = optional("pandas")

from sklearn.base import clone  # noqa: E402
from sklearn.model_selection import GridSearchCV, cross_val_score  # noqa: E402
from sklearn.pipeline import make_pipeline  # noqa: E402
from sklearn.preprocessing import FunctionTransformer  # noqa: E402
from sklearn.utils.estimator_checks import parametrize_with_checks  # noqa: E402

import mlpcore as mc  # noqa: E402
from mlpcore.tabular import TableEncoder, TabularClassifier, TabularRegressor  # noqa: E402
from mlpcore.tabular.held_out import splits  # noqa: E402
from mlpcore.tabular.recipes import RECIPES, PlainMLP, RealMLP, TabM  # noqa: E402

RANDOM = np.random.default_rng(0)
ROWS = 400
SIZE = RANDOM.lognormal(size=ROWS)
TOWN = RANDOM.choice(["Rome", "Oslo", "Bonn"], size=ROWS)
SIGNAL = np.log(SIZE) * np.where(TOWN == "Rome", 2.0, -1.0)


def frame() -> Any:
    size, town = SIZE.copy(), TOWN.astype(object)
    size[::17], town[::23] = np.nan, None
    when = pandas.Timestamp("2024-01-01") + pandas.to_timedelta(RANDOM.integers(0, 700, ROWS), unit="D")
    return pandas.DataFrame({"size": size, "town": town, "sold": SIZE > 1, "when": when, "row": np.arange(ROWS)})


FRAME = frame()
LABELS = np.where(SIGNAL > 0.5, "high", np.where(SIGNAL > -0.5, "middle", "low"))
PRICES = 250_000 + 80_000 * SIGNAL
SMALL: dict[str, Any] = {
    "realmlp": RealMLP(hidden=(32, 32), epochs=30, batch_size=64),
    "realmlp-s": dataclasses.replace(RECIPES["realmlp-s"], hidden=(32,), epochs=30, batch_size=64),
    "tabm": TabM(members=4, hidden=(32,), epochs=20, batch_size=64, learning_rate=0.01),
    "mlp": PlainMLP(hidden=(32,), epochs=30, batch_size=64, learning_rate=0.01),
}

pytestmark = pytest.mark.filterwarnings("ignore:column 'row' is left out")


def classifier(recipe: str = "mlp", **words: Any) -> TabularClassifier:
    return TabularClassifier(SMALL[recipe], **{"random_state": 0, **words})


def regressor(recipe: str = "mlp", **words: Any) -> TabularRegressor:
    return TabularRegressor(SMALL[recipe], **{"random_state": 0, **words})


@pytest.mark.parametrize("recipe", SMALL)
def test_a_mixed_table_is_learnt_as_it_is(recipe: str) -> None:
    fitted = classifier(recipe).fit(FRAME, LABELS)
    assert fitted.score(FRAME, LABELS) > 0.75
    probabilities = fitted.predict_proba(FRAME)
    assert fitted.classes_.tolist() == ["high", "low", "middle"] and probabilities.shape == (ROWS, 3)
    np.testing.assert_allclose(probabilities.sum(axis=1), 1, rtol=1e-5)
    kinds = {column.name: column.kind for column in fitted.encoder_.columns}
    assert kinds["row"] == "left out" and kinds["when"] == "date" and kinds["sold"] == kinds["town"] == "categorical"
    assert regressor(recipe).fit(FRAME, PRICES).score(FRAME, PRICES) > 0.8


@pytest.mark.parametrize("library", ["pandas", "polars", "pyarrow", "dict"])
def test_frames_of_every_library_give_the_same(library: str) -> None:
    columns = {name: FRAME[name].to_numpy() for name in ("size", "sold")} | {"town": TOWN}
    module = None if library == "dict" else optional(library)
    made = columns if module is None else module.table(columns) if library == "pyarrow" else module.DataFrame(columns)
    expected = classifier().fit(columns, LABELS).predict_proba(columns)
    fitted = classifier().fit(made, LABELS)
    np.testing.assert_array_equal(fitted.predict_proba(made), expected)
    assert fitted.feature_names_in_.tolist() == ["size", "sold", "town"]
    shuffled = {name: columns[name] for name in ("town", "size", "sold")} | {"other": TOWN}
    np.testing.assert_array_equal(fitted.predict_proba(shuffled), expected)
    with pytest.raises(mc.DataError, match="lacks the column 'size'"):
        fitted.predict({"town": TOWN, "sold": columns["sold"]})


def test_arrays_and_told_categories() -> None:
    codes = np.column_stack([np.unique(TOWN, return_inverse=True)[1], np.log(SIZE)]).astype(np.float64)
    for told in ([0], [True, False], ["x[0]"]):
        fitted = classifier(categorical_features=told).fit(codes, LABELS)
        assert fitted.encoder_.category_sizes == (4,) and fitted.score(codes, LABELS) > 0.8
    assert classifier().fit(codes, LABELS).encoder_.category_sizes == ()
    told = classifier(types={"size": "categorical"}, ignore=["when"]).fit(FRAME.assign(size=TOWN), LABELS)
    assert {c.name: c.kind for c in told.encoder_.columns}["when"] == "left out"


def test_given_validation_rows_choose_the_epoch() -> None:
    """The best epoch is that of the best score, the last of equal ones, and its weights are kept."""
    learnt, held = FRAME[:300], FRAME[300:]
    fitted = classifier().fit(learnt, LABELS[:300], X_val=held, y_val=LABELS[300:])
    scores = fitted.validation_scores_[0]
    assert len(scores) == fitted.n_iter_ == 30
    assert fitted.best_epochs_ == [30 - int(np.argmax(scores[::-1]))]
    assert fitted.score(held, LABELS[300:]) == max(scores)
    without = classifier(validation_fraction=0).fit(learnt, LABELS[:300])
    assert without.validation_scores_ == [[]] and without.n_iter_ == 30
    tabm = classifier("tabm").fit(learnt, LABELS[:300], X_val=held, y_val=LABELS[300:])
    assert tabm.best_epochs_ == [1 + int(np.argmax(tabm.validation_scores_[0]))]


def test_what_is_held_out_is_not_learnt_from() -> None:
    """Neither the weights nor the encoding of the columns depend on it."""
    far = FRAME.copy()
    (training, held_out), *_ = splits(ROWS, None, 1, 0.2, _seed(0))
    far.loc[held_out, "size"] *= 1000
    fitted = [regressor().fit(one, PRICES).encoder_.to_json() for one in (FRAME, far)]
    assert fitted[0] == fitted[1] == TableEncoder().fit(FRAME.iloc[training], training).to_json()


def _seed(random_state: int) -> int:
    return int(np.random.RandomState(random_state).randint(0, 2**31 - 1, 2)[0])


def test_members_hold_out_a_part_each() -> None:
    fitted = classifier(n_ensemble=4).fit(FRAME, LABELS)
    assert len(fitted.members_) == len(fitted.best_epochs_) == 4
    single = classifier().fit(FRAME, LABELS)
    alone = [np.mean(fitted.classes_[m.predict(_x(fitted)).argmax(1)] == LABELS) for m in fitted.members_]
    assert fitted.score(FRAME, LABELS) >= min(alone) and len(set(alone)) > 1
    mean = np.mean([member.predict(_x(fitted)) for member in fitted.members_], axis=0)
    np.testing.assert_allclose(fitted.predict_proba(FRAME), mean, rtol=1e-5)
    assert not np.array_equal(fitted.predict_proba(FRAME), single.predict_proba(FRAME))
    assert [member.trainer.progress.step for member in fitted.members_] == [30 * 5] * 4  # of 300 rows in batches of 64


def _x(fitted: Any) -> np.ndarray:
    return fitted.encoder_.transform(FRAME)


@pytest.mark.parametrize("count, members, classes", [(5, 3, None), (50, 1, None), (50, 4, None), (60, 25, "even")])
def test_every_row_is_held_out_as_often_as_any_other(count: int, members: int, classes: Any) -> None:
    labels = None if classes is None else np.arange(count) % 2
    parts = splits(count, labels, members, 0.2, 0)
    assert len(parts) == members
    for training, held_out in parts:
        held_out = np.zeros(0, int) if held_out is None else held_out
        assert np.array_equal(np.sort(np.concatenate([training, held_out])), np.arange(count))
    if members > 1 and count >= 10:
        times = np.bincount(np.concatenate([held for _, held in parts]), minlength=count)
        assert times.max() - times.min() <= (members > 20)


@pytest.mark.parametrize("members", [1, 4])
def test_parts_have_the_shares_of_the_classes(members: int) -> None:
    labels = np.repeat([0, 1], [180, 20])
    for seed in range(4):
        held_out = [held for _, held in splits(200, labels, members, 0.25, seed)]
        assert [np.bincount(labels[held]).tolist() for held in held_out] == [[45, 5]] * members


def test_rows_without_a_target_are_left_out() -> None:
    labels = LABELS.astype(object)
    labels[[3, 77]] = None, np.nan
    with pytest.warns(mc.MlpcoreWarning, match="2 of 400 rows have no target and are left out"):
        fitted = classifier(validation_fraction=0).fit(FRAME, labels)
    kept = np.setdiff1d(np.arange(ROWS), [3, 77])
    expected = classifier(validation_fraction=0).fit(FRAME.drop(columns="row").iloc[kept], LABELS[kept])
    np.testing.assert_array_equal(fitted.predict_proba(FRAME), expected.predict_proba(FRAME))
    prices = np.where(np.arange(ROWS) == 5, np.nan, PRICES)
    with pytest.warns(mc.MlpcoreWarning, match="1 of 400 rows"):
        assert regressor().fit(FRAME, prices).score(FRAME, PRICES) > 0.8


def test_weights() -> None:
    """Rows of weight 0 teach nothing, wherever they are."""
    wrong, weights = LABELS.copy(), np.ones(ROWS)
    wrong[::2], weights[::2] = "low", 0
    fitted = classifier().fit(FRAME, wrong, sample_weight=weights)
    assert fitted.score(FRAME, LABELS) > 0.1 + classifier().fit(FRAME, wrong).score(FRAME, LABELS)
    for bad in (-weights, np.zeros(ROWS)):
        with pytest.raises(ValueError, match=r"sample_weight has negative|must contain at least one non-zero"):
            classifier().fit(FRAME, LABELS, sample_weight=bad)


def test_quantiles_cover_what_they_say() -> None:
    noisy = PRICES + 20_000 * RANDOM.normal(size=ROWS)
    fitted = regressor("realmlp", n_ensemble=3).fit(FRAME, noisy)
    low, middle, high = fitted.predict(FRAME, quantiles=[0.1, 0.5, 0.9]).T
    assert 0.7 < np.mean((low < noisy) & (noisy < high)) <= 0.95 and np.all((low < middle) & (middle < high))
    both = regressor(validation_fraction=0.3).fit(FRAME, np.column_stack([noisy, SIGNAL]))
    assert both.predict(FRAME).shape == (ROWS, 2) and both.predict(FRAME, quantiles=(0.5,)).shape == (ROWS, 2, 1)
    with pytest.raises(ValueError, match=r"quantiles is 0\.5, expected a list of numbers between 0 and 1"):
        fitted.predict(FRAME, quantiles=0.5)
    with pytest.raises(ValueError, match="quantiles need held-out rows"):
        regressor(validation_fraction=0).fit(FRAME, noisy).predict(FRAME, quantiles=[0.5])


def test_with_limits_predictions_stay_in_the_range_of_the_target() -> None:
    fitted = TabularRegressor(dataclasses.replace(SMALL["realmlp"], clamp=True), random_state=0).fit(FRAME, PRICES)
    wild = FRAME.assign(size=1e6)
    assert PRICES.min() - 1 <= fitted.predict(wild).min() <= fitted.predict(wild).max() <= PRICES.max() + 1


def test_time_and_epochs_are_limits() -> None:
    assert classifier(time_limit=1e-9).fit(FRAME, LABELS).n_iter_ == 1
    assert classifier(max_epochs=3).fit(FRAME, LABELS).n_iter_ == 3


def test_pickles_clones_pipelines_and_searches() -> None:
    fitted = classifier(n_ensemble=2).fit(FRAME, LABELS)
    loaded = pickle.loads(pickle.dumps(fitted))
    np.testing.assert_array_equal(loaded.predict_proba(FRAME), fitted.predict_proba(FRAME))
    np.testing.assert_array_equal(clone(fitted).fit(FRAME, LABELS).predict_proba(FRAME), fitted.predict_proba(FRAME))
    steps = make_pipeline(FunctionTransformer(lambda one: one.drop(columns="row")), classifier())
    assert cross_val_score(steps, FRAME, LABELS, cv=3).mean() > 0.6
    search = GridSearchCV(classifier(), {"recipe": [SMALL["mlp"], SMALL["realmlp"]], "max_epochs": [2, 20]}, cv=2)
    assert search.fit(FRAME, LABELS).best_params_["max_epochs"] == 20


@pytest.mark.parametrize(
    "words, fit, said",
    [
        ({"recipe": "boosting"}, {}, "The 'recipe' parameter of TabularClassifier must be"),
        ({"n_ensemble": 0}, {}, "The 'n_ensemble' parameter"),
        ({"validation_fraction": 1.0}, {}, "The 'validation_fraction' parameter"),
        ({}, {"X_val": FRAME}, "y_val is missing, expected both X_val and y_val"),
        ({}, {"X_val": FRAME, "y_val": ["new"] * ROWS}, "y_val has the class 'new', expected one that y has"),
        ({}, {"y": LABELS[1:]}, "inconsistent numbers of samples"),
        ({}, {"y": ["one"] * ROWS}, "y has 1 class"),
        ({}, {"y": [None] * ROWS}, "y has 0 class|sample_weight|no target"),
        ({"types": {"town": "numeric"}}, {}, "column 'town' has"),
        ({"ignore": ["city"]}, {}, "types and ignore name the column 'city'"),
        ({"backend": "abacus"}, {}, "abacus"),
    ],
)
def test_what_is_refused(words: dict[str, Any], fit: dict[str, Any], said: str) -> None:
    with pytest.raises((ValueError, mc.ConfigurationError), match=said):
        classifier(**({} if "recipe" in words else words)).set_params(**words).fit(FRAME, **({"y": LABELS} | fit))


FAST = PlainMLP(hidden=(16,), epochs=40, learning_rate=0.01, dropout=0.0, batch_size=32)


WEIGHTS = "rows of weight 0 have a place in the batches"


@parametrize_with_checks(
    [
        TabularClassifier(FAST, random_state=0, dtype="float64"),
        TabularRegressor(FAST, random_state=0, dtype="float64", validation_fraction=0.0),
    ],
    expected_failed_checks=lambda estimator: {"check_sample_weight_equivalence_on_dense_data": WEIGHTS},
)
@pytest.mark.filterwarnings("ignore")
def test_check_estimator(estimator: Any, check: Any) -> None:
    check(estimator)


@pytest.mark.parametrize("offset", [1e7, -1e12])
@pytest.mark.parametrize("members", [1, 2])
def test_amounts_far_from_zero_keep_their_digits(offset, members):
    rng = np.random.default_rng(0)
    x = rng.normal(size=(400, 2))
    y = np.column_stack([x[:, 0] + offset, 1e6 * x[:, 1]])
    near = TabularRegressor("mlp", max_epochs=20, n_ensemble=members, random_state=0).fit(x, y - [offset, 0.0])
    far = TabularRegressor("mlp", max_epochs=20, n_ensemble=members, random_state=0).fit(x, y)
    assert near.score(x, y - [offset, 0.0]) > 0.9
    errors = (far.predict(x) - [offset, 0.0] - near.predict(x)) / [1, 1e6]
    assert np.abs(errors).max() < 0.02
    spread = far.predict(x, quantiles=[0.1, 0.9]) - far.predict(x)[:, :, None]
    assert np.all(spread[:, 0, 1] - spread[:, 0, 0] < 1) and np.all(spread[:, 1, 1] - spread[:, 1, 0] > 1e4)
