"""Bad ground for the MLP estimators: finite numbers, a warning, or an error that says what to do; no NaN in silence."""

import itertools
import warnings
from typing import Any

import bad_tables
import numpy as np
import pytest
from bad_tables import AMOUNTS, HALF, LABELS, NORMAL, ROWS, SIZE
from optional import optional

sklearn = optional("sklearn")

from scipy.sparse import csr_matrix  # noqa: E402
from sklearn.metrics import r2_score  # noqa: E402

import mlpcore as mc  # noqa: E402
from mlpcore.sklearn import MLPClassifier, MLPRegressor  # noqa: E402

TAKEN = ("constant at 1e300", "constant at a denormal", "denormal", "huge", "at the end of the range")
TAKEN += ("of vanishing variance", "of infinite variance", "one outlier", "a heavy tail")
NUMBERS: dict[str, np.ndarray] = {name: bad_tables.NUMBERS[name] for name in TAKEN}
NUMBERS |= {"huge for float32": np.clip(NORMAL, -3, 3) * 1e38}
SAID = ("large", "smaller", "scale", "preprocessed", "too large", "on_nonfinite", "unit", "divide")
WARNED = ("Training diverged", "the score of early stopping", "batches were skipped", "training went back")
ARGUMENTS = [
    {"early_stopping": stops, "solver": solver, "dtype": dtype, "on_nonfinite": choice, "standardize_target": scales}
    for stops, solver, dtype, choice, scales in itertools.product(
        [False, True],
        ["adam", "lbfgs"],
        ["float32", "float64"],
        ["raise", "skip", "restore"],
        [False, True],
    )
    if solver == "adam" or choice == "raise"
]
FIXED = [ARGUMENTS[0], ARGUMENTS[12], ARGUMENTS[-1]]


def made(y: np.ndarray, **words: Any) -> Any:
    words = {"hidden_layer_sizes": 8, "random_state": 0, "max_iter": 3, "batch_size": 8} | words
    if y.dtype.kind == "f":
        return MLPRegressor(**words)
    words.pop("standardize_target", None)
    return MLPClassifier(**words)


def check(x: np.ndarray, y: np.ndarray, **words: Any) -> None:
    """Fit and predict: all weights finite, no prediction or score NaN but where a warning or an error says so."""
    with np.errstate(all="ignore"), warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            one = made(y, **words).fit(x, y)
        except (mc.MlpcoreError, ValueError) as error:
            assert any(word in str(error) for word in SAID), error
            return
        outputs = one.predict_proba(x) if y.dtype.kind == "U" else one.predict(x)
        score = one.score(x, y) if np.all(np.isfinite(outputs)) else 0.0
    assert all(np.all(np.isfinite(part)) for part in (*one.coefs_, *one.intercepts_))
    assert not np.any(np.isnan(outputs)) and not np.isnan(score)
    told = any(word in str(warning.message) for warning in caught for word in WARNED)
    curves = [
        getattr(one, name, None) or [] for name in ("loss_curve_", "validation_loss_curve_", "validation_scores_")
    ]
    assert told or not np.any(np.isnan(np.concatenate(curves)))


@pytest.mark.parametrize(
    "words", [pytest.param(words, marks=() if words in FIXED else pytest.mark.long) for words in ARGUMENTS], ids=str
)
@pytest.mark.parametrize("numbers", NUMBERS)
def test_columns_and_targets(numbers: str, words: dict[str, Any]) -> None:
    x = np.column_stack([SIZE, NUMBERS[numbers]])
    check(x, AMOUNTS, **words)
    check(x, LABELS, **words)
    check(np.column_stack([SIZE, NORMAL]), NUMBERS[numbers], **words)


@pytest.mark.parametrize("y", [AMOUNTS, LABELS], ids=["amounts", "labels"])
@pytest.mark.parametrize("members", [1, 2])
@pytest.mark.parametrize("solver", ["adam", "lbfgs"])
@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
def test_numbers_that_the_dtype_cannot_hold_are_refused(solver: str, members: int, y: np.ndarray) -> None:
    """As `Model.fit` refuses them; they are infinite in float32, and the predictions of such rows NaN."""
    good, bad = np.column_stack([SIZE, NORMAL]), np.column_stack([SIZE, np.full(ROWS, 1e39)])
    said = r"X has numbers as large as 1e\+39, which float32 cannot hold; scale the columns .*, or fit with dtype='f"
    for x in (bad, -bad, csr_matrix(bad)):
        with pytest.raises(mc.DataError, match=said):
            made(y, solver=solver, dtype="float32", n_members=members).fit(x, y)
    fitted = made(y, solver=solver, dtype="float32", n_members=members).fit(good, y)
    for x in (bad, -bad, csr_matrix(bad)):
        with pytest.raises(mc.DataError, match=said):
            fitted.predict(x)
    if solver == "adam":
        with pytest.raises(mc.DataError, match=said):
            made(y, dtype="float32").fit(good, y, validation_data=(bad, y))
    made(y, solver=solver, dtype="float32").fit(good, y).predict(bad * 1e-2)  # the largest numbers that fit
    made(y, dtype="float64").fit(good, y).predict(bad)


def test_a_fit_by_lbfgs_without_a_finite_loss_is_an_error() -> None:
    """It kept the initial weights, with a warning about its line search."""
    x = np.column_stack([SIZE, NORMAL * 1e300])
    with np.errstate(all="ignore"), pytest.raises(ValueError, match=r"^Solver produced non-finite"):
        made(AMOUNTS, solver="lbfgs", dtype="float64").fit(x, AMOUNTS)


@pytest.mark.parametrize("power", [-1000, -700, 0, 700, 1000])
@pytest.mark.parametrize("gaps", [False, True])
@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
def test_scores_do_not_depend_on_the_unit(power: int, gaps: bool) -> None:
    """R2 of amounts times a power of two is that of the amounts, as a score, in early stopping and with gaps."""
    x, y = np.column_stack([SIZE, NORMAL]), np.where(HALF & gaps, np.nan, AMOUNTS)
    scores = []
    for target in (y, np.ldexp(y, power)):
        words = {"missing_targets": "skip" if gaps else "error", "standardize_target": True, "early_stopping": True}
        one = made(AMOUNTS, dtype="float64", **words).fit(x, target)
        scores.append([one.score(x, target), *one.validation_scores_])
    np.testing.assert_allclose(scores[1], scores[0], rtol=1e-9)
    if power == 0 and not gaps:
        assert one.score(x, y) == r2_score(y, one.predict(x))
        assert one.score(x, y[:, None], WEIGHTS) == r2_score(y, one.predict(x), sample_weight=WEIGHTS)


WEIGHTS = np.linspace(0.5, 2, ROWS)
