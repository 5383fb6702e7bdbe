"""Bad ground for the estimators of tables: finite numbers, or an error that says what to do; never NaN in silence."""

import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from bad_tables import (
    AMOUNTS,
    COLUMNS,
    END,
    LABELS,
    NORMAL,
    NUMBERS,
    ROWS,
    SIZE,
    TARGETS,
    TOWN,
    WEIGHTS,
    finite_or_said,
)
from optional import optional

sklearn = optional("sklearn")
pandas = optional("pandas")

from sklearn.model_selection import KFold, cross_val_score  # noqa: E402

from mlpcore.sklearn import StackedSearchCV  # noqa: E402
from mlpcore.tabular import TabularClassifier, TabularRegressor, load  # noqa: E402
from mlpcore.tabular.recipes import PlainMLP, RealMLP, TabM  # noqa: E402

SMALL: dict[str, Any] = {"hidden": (8,), "epochs": 2, "batch_size": 16}
RECIPES = {
    "mlp": PlainMLP(**SMALL),
    "realmlp": RealMLP(**SMALL),
    "realmlp with all": RealMLP(**SMALL, embedding="piecewise", from_data=True, clamp=True),
    "tabm": TabM(**SMALL, members=2),
    "tabm by pieces": TabM(**SMALL, members=2, embedding="piecewise"),
}


def long_but(names: Any, *fixed: str) -> Any:
    return [pytest.param(name, marks=() if name in fixed else pytest.mark.long, id=str(name)) for name in names]


BY_RECIPE = pytest.mark.parametrize("recipe", long_but(RECIPES, "mlp"))


def table(column: Any = NORMAL) -> Any:
    return pandas.DataFrame({"size": SIZE, "town": TOWN, "column": column})


def made(y: np.ndarray, recipe: str = "mlp", **words: Any) -> Any:
    kind = TabularRegressor if np.asarray(y).dtype.kind == "f" else TabularClassifier
    return kind(RECIPES[recipe], **{"random_state": 0} | words)


def numbers_of(one: Any, x: Any, y: Any) -> dict[str, Any]:
    """All numbers that a fitted estimator gives, by what they are."""
    outputs = one.predict_proba(x) if hasattr(one, "classes_") else one.predict(x)
    found: dict[str, Any] = {"predictions": outputs}
    for i, (member, history) in enumerate(zip(one.members_, one.histories_, strict=True)):
        found |= {f"{name} of member {i}": leaf for name, leaf in member.snapshot().items()}
        found |= {f"history, {name}": history[name] for name in history.columns}
    if getattr(one, "_residuals", None) is not None:
        found["quantiles"] = one.predict(x, quantiles=[0.1, 0.5, 0.9])
    known = ~pandas.isna(y) if np.ndim(y) == 1 else np.full(len(y), True)
    if known.sum() > 1:
        found["score"] = one.score(x[known], y[known])
    return found


def fitted_numbers(x: Any, y: Any, recipe: str, weights: Any = None, **words: Any) -> dict[str, Any]:
    held_out = {name: words.pop(name) for name in [*words] if name.endswith("_val")}
    return numbers_of(made(y, recipe, **words).fit(x, y, sample_weight=weights, **held_out), x, y)


FIXED = ("constant at 1e300", "at the end of the range", "missing", "half missing", "a level once", "no date")


@BY_RECIPE
@pytest.mark.parametrize("column", long_but(COLUMNS, *FIXED, "a heavy tail of denormals", "denormal"))
@pytest.mark.parametrize("words", long_but(["float32", "float64", "two members"], "float32"))
def test_columns(column: str, recipe: str, words: str) -> None:
    """Only infinite numbers are refused; columns without anything to learn are left out."""
    more: dict[str, Any] = {"n_ensemble": 2} if words == "two members" else {"dtype": words}
    for y in (AMOUNTS, LABELS):
        found = finite_or_said(lambda y=y: fitted_numbers(table(COLUMNS[column]), y, recipe, **more))
        assert (found is None) == (column == "with infinity")


@BY_RECIPE
@pytest.mark.parametrize("target", long_but(TARGETS, *FIXED, "of vanishing variance", "a class once", "one class"))
@pytest.mark.parametrize("words", long_but(["float32", "float64", "two members"], "float32"))
def test_targets(target: str, recipe: str, words: str) -> None:
    more: dict[str, Any] = {"n_ensemble": 2} if words == "two members" else {"dtype": words}
    y = TARGETS[target]
    at_the_end = target == "at the end of the range"
    found = finite_or_said(lambda: fitted_numbers(table(), y, recipe, **more), at_the_end=at_the_end)
    refused = {"with infinity", "missing", "one class", "labels missing but one", "missing but one"}
    assert (found is None) == (target in refused)


@BY_RECIPE
@pytest.mark.parametrize("weights", long_but(WEIGHTS, "zero but one", "half", "denormal", "tiny beside 1"))
@pytest.mark.parametrize("words", long_but(["float32", "float64", "two members"], "float32"))
def test_weights(weights: str, recipe: str, words: str) -> None:
    more: dict[str, Any] = {"n_ensemble": 2} if words == "two members" else {"dtype": words}
    for y in (AMOUNTS, LABELS):
        found = finite_or_said(lambda y=y: fitted_numbers(table(), y, recipe, WEIGHTS[weights], **more))
        assert found is not None or weights not in {"half", "a class of weight zero", "tiny beside 1"}


@BY_RECIPE
@pytest.mark.parametrize("rows", long_but(range(1, 14), 10))
def test_few_rows(rows: int, recipe: str) -> None:
    for y in (AMOUNTS[:rows], LABELS[:rows]):
        for words in ({}, {"validation_fraction": 0.95}, {"n_ensemble": 3}):
            finite_or_said(lambda y=y, words=words: fitted_numbers(table()[:rows], y, recipe, **words))


HELD_OUT: dict[str, tuple[slice, dict[str, Any]]] = {
    "one row": (slice(1), {}),
    "no row": (slice(0), {}),
    "one class": (slice(0, ROWS, 2), {"LABELS": np.full(ROWS, "low")}),
    "one amount": (slice(ROWS), {"AMOUNTS": np.ones(ROWS)}),
    "amounts at the end of the range": (slice(ROWS), {"AMOUNTS": END}),
    "an amount too large of weight 0": (
        slice(2),
        {"AMOUNTS": END, "sample_weight_val": np.where(np.arange(ROWS) == 1, 0.0, 1.0)},
    ),
    "no target": (slice(3), {"AMOUNTS": np.full(ROWS, np.nan), "LABELS": np.full(ROWS, None)}),
    "weights of zero": (slice(3), {"sample_weight_val": np.zeros(ROWS)}),
    "the smallest weights": (slice(ROWS), {"sample_weight_val": np.full(ROWS, 5e-324)}),
    "weights of infinite sum": (slice(ROWS), {"sample_weight_val": np.full(ROWS, 1.7e308)}),
}


@BY_RECIPE
@pytest.mark.parametrize("held_out", HELD_OUT)
def test_given_validation_rows(held_out: str, recipe: str) -> None:
    rows, others = HELD_OUT[held_out]
    far = any(np.asarray(y) is END for y in others.values())
    weights = {name: y[rows] for name, y in others.items() if name == "sample_weight_val"}
    for name, y in (("AMOUNTS", AMOUNTS), ("LABELS", LABELS)):
        words = {"X_val": table()[rows], "y_val": others.get(name, y)[rows], **weights}
        found = finite_or_said(lambda y=y, words=words: fitted_numbers(table(), y, recipe, **words), at_the_end=far)
        assert (found is None) == (held_out in {"no row", "no target", "weights of zero"})


PREDICTED: dict[str, Any] = {
    "unseen levels": table().assign(town="Lima"),
    "all missing": table().assign(size=np.nan, town=None, column=np.nan),
    "the largest numbers": table().assign(size=1.7e308, column=-1.7e308),
    "denormals": table().assign(size=5e-324, column=-1e-310),
    "large whole numbers": table().assign(size=2**62),
    "infinity": table().assign(size=np.inf),
    "one row": table()[:1],
    "no row": table()[:0],
}


@BY_RECIPE
@pytest.mark.parametrize("target", long_but(["amounts", "labels", "huge", "denormal"], "amounts", "labels"))
def test_rows_to_predict(target: str, recipe: str, tmp_path: Path) -> None:
    """Also by a saved model, to the same bits."""
    y = {"amounts": AMOUNTS, "labels": LABELS}.get(target, NUMBERS.get(target))
    one = made(y, recipe).fit(table(), y)
    one.save(tmp_path / "model.safetensors")
    saved = load(tmp_path / "model.safetensors")
    method = "predict_proba" if target == "labels" else "predict"
    for name, x in PREDICTED.items():
        found = finite_or_said(lambda x=x: {"predictions": getattr(one, method)(x)})
        again = finite_or_said(lambda x=x: {"predictions": getattr(saved, method)(x)})
        assert (found is None) == (again is None) == (name in {"infinity", "no row"})
        if found is not None and again is not None:
            np.testing.assert_array_equal(found["predictions"], again["predictions"])


FOLDS: dict[str, tuple[Any, Any]] = {
    "a class in one fold": (table(), np.r_[["rare"], LABELS[1:]]),
    "sorted classes": (table(), np.sort(LABELS)),
    "a level in one fold": (table().assign(town=np.sort(TOWN.astype(str))), AMOUNTS),
    "a column missing in one fold": (table(np.where(np.arange(ROWS) < 8, NORMAL, np.nan)), AMOUNTS),
    "a column constant in one fold": (table(np.where(np.arange(ROWS) < 8, 1e300, 0.0)), LABELS),
    "a target constant in one fold": (table(), np.where(np.arange(ROWS) < 8, 1.0, AMOUNTS)),
    "targets of all sizes": (table(), np.geomspace(1e-300, 1e300, ROWS)),
}


@BY_RECIPE
@pytest.mark.parametrize("members", long_but([1, 5], 1))
@pytest.mark.parametrize("folds", long_but(FOLDS, "a class in one fold"))
@pytest.mark.filterwarnings("ignore")
def test_folds(folds: str, members: int, recipe: str) -> None:
    """Every fold has a finite score; targets of all sizes may have one of minus infinity."""
    x, y = FOLDS[folds]
    one = made(y, recipe, n_ensemble=members)
    with np.errstate(all="ignore"):
        scores = cross_val_score(one, x, y, cv=KFold(5), error_score="raise")
        assert not np.any(np.isnan(scores)) and (np.all(np.isfinite(scores)) or folds == "targets of all sizes")
        search = StackedSearchCV(one, {"validation_fraction": [0.0, 0.5]}, cv=KFold(5), n_jobs=1).fit(x, y)
    assert not np.any(np.isnan(search.cv_results_["mean_test_score"]))


@pytest.mark.parametrize("seed", [pytest.param(s, marks=() if s < 12 else pytest.mark.long) for s in range(300)])
def test_all_at_once(seed: int) -> None:
    """Columns, target, weights, rows and arguments drawn at random."""
    rng = np.random.default_rng(seed)

    def drawn(choices: Any) -> Any:
        return [*choices][rng.integers(len(choices))]

    rows = int(drawn([3, 10, 11, 25, ROWS]))
    chosen = rng.permutation(ROWS)[:rows]
    x = {f"column {i}": COLUMNS[drawn(COLUMNS)][chosen] for i in range(3)} | {"size": SIZE[chosen]}
    y = drawn([AMOUNTS, LABELS, *TARGETS.values()])
    y = y[chosen]
    weights = drawn([None, *WEIGHTS.values()])
    words = {
        "n_ensemble": drawn([1, 2, 3]),
        "validation_fraction": drawn([0.0, 0.1, 0.5]),
        "dtype": drawn(["float32", "float64"]),
        "on_nonfinite": drawn(["raise", "skip", "restore"]),
    }
    at_the_end = np.asarray(y).dtype.kind == "f" and bool(np.nanmax(np.abs(np.append(y, 0.0))) > 1e150)
    weights = None if weights is None else weights[chosen]
    x = pandas.DataFrame(x)
    finite_or_said(lambda: fitted_numbers(x, y, drawn(RECIPES), weights, **words), at_the_end=at_the_end)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        pytest.param({"y": np.full(ROWS, np.nan)}, "^none of the 40 rows has a target", id="no target"),
        pytest.param(
            {"sample_weight": WEIGHTS["zero but one"]}, "^all 8 rows held out .* have weight 0", id="held-out rows"
        ),
        pytest.param(
            {"sample_weight": WEIGHTS["zero but one"], "random_state": 0, "validation_fraction": 0.5},
            "^all 20 rows left to train on have weight 0",
            id="training rows",
        ),
        pytest.param({"validation_fraction": 0.99}, "holds out all 40 rows; take a smaller", id="all rows held out"),
        pytest.param({"column": COLUMNS["with infinity"]}, "'column' has infinite numbers in 1 of", id="infinity"),
    ],
)
def test_what_cannot_be_learnt_is_refused(words: dict[str, Any], said: str) -> None:
    given = {"y": AMOUNTS, "column": NORMAL, "sample_weight": None} | words
    y, column, weights = (given.pop(name) for name in ("y", "column", "sample_weight"))
    with pytest.raises(ValueError, match=said):
        made(y, **given).fit(table(column), y, sample_weight=weights)


def test_residuals_of_rows_that_weigh_nothing_do_not_count() -> None:
    """The quantiles of the residuals are those without such rows, as the scores of the epochs are."""
    held = table()[:10]
    wrong = AMOUNTS[:10] + np.where(np.arange(10) < 5, 0.0, 1e6)
    weights = np.where(np.arange(10) < 5, 1.0, 0.0)
    one = made(AMOUNTS).fit(table(), AMOUNTS, X_val=held, y_val=wrong, sample_weight_val=weights)
    other = made(AMOUNTS).fit(table(), AMOUNTS, X_val=held[:5], y_val=wrong[:5])
    assert one.validation_scores_ == other.validation_scores_
    np.testing.assert_array_equal(one.predict(held, quantiles=[0.9]), other.predict(held, quantiles=[0.9]))
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(one)).predict(held), one.predict(held))


def test_scores_do_not_depend_on_the_unit() -> None:
    """R2 of amounts times 2^-1000 to 2^1000 is that of the amounts."""
    expected = made(AMOUNTS).fit(table(), AMOUNTS).score(table(), AMOUNTS)
    for power in (-1000, -600, 600, 1000):
        y = np.ldexp(AMOUNTS, power)
        np.testing.assert_allclose(made(y).fit(table(), y).score(table(), y), expected, rtol=1e-6)
