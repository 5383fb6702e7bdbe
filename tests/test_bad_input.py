"""Bad input: an error that says who, got, expected and what to do, and afterwards everything is as it was."""

import math
from collections.abc import Callable
from typing import Any

import array_api_strict
import numpy as np
import pytest
from fitting import LABELS, PLAIN, ROWS, X, Y, assert_same, classifier, make, state_of
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

import mlpcore as mc
from mlpcore.trees import named_leaves, tree_map


def changed(values: np.ndarray, at: Any, to: Any) -> np.ndarray:
    values = np.array(values, dtype=None if isinstance(to, float) else object)
    values[at] = to
    return values


def frame(values: Any, **columns: Any) -> Any:
    pandas = pytest.importorskip("pandas", reason="pandas is not installed")
    return pandas.DataFrame(values, **columns)


def sparse(values: np.ndarray) -> Any:
    return pytest.importorskip("scipy.sparse", reason="SciPy is not installed").csr_array(values)


NAN, INF = math.nan, math.inf
KINDS = "expected real numbers; encode or drop what is not a number$"
GAPS = "drop these rows or fill the gaps first$"

# What is wrong with x; for fit, evaluate, predict and validation data alike.
ROWS_OF_X: dict[str, tuple[Callable[[], Any], str]] = {
    "too few columns": (lambda: X[:, :2], r"^Linear\(3, 4\): x has 2 columns, expected 3$"),
    "too many columns": (lambda: np.c_[X, X], r"^Linear\(3, 4\): x has 6 columns, expected 3$"),
    "one row as a vector": (
        lambda: X[0],
        r"^x has shape \(3,\), expected \(rows, columns\); reshape to \(1, 3\) for one row",
    ),
    "a number": (lambda: 3.0, r"^x has shape \(\), expected \(rows, columns\)$"),
    "three axes": (lambda: X[None], r"^x has shape \(1, 22, 3\), expected \(rows, columns\)$"),
    "no rows": (lambda: X[:0], r"^x has shape \(0, 3\), expected at least one row and one column$"),
    "no columns": (lambda: X[:, :0], r"^x has shape \(22, 0\), expected at least one row and one column$"),
    "an empty list": (list, r"^x has shape \(0,\), expected \(rows, columns\)$"),
    "NaN": (lambda: changed(X, (4, 1), NAN), f"^x has NaN or infinity in column 1; {GAPS}"),
    "infinity": (lambda: changed(X, (4, 2), -INF), f"^x has NaN or infinity in column 2; {GAPS}"),
    "several": (lambda: changed(X, ([1, 2, 3], [2, 0, 2]), NAN), "^x has NaN or infinity in column 0, 2; "),
    "NaN in a data frame": (
        lambda: frame(changed(X, (4, 1), NAN), columns=["age", "height", "weight"]),
        f"^x has NaN or infinity in column 'height'; {GAPS}",
    ),
    "a gap in a list": (lambda: [[1.0, 2.0, None]] * ROWS, f"^x has dtype object, {KINDS}"),
    "masked": (
        lambda: np.ma.MaskedArray(X, mask=X > 1),
        "^x is a masked array, whose hidden entries would count as data",
    ),
    "strings": (lambda: X.astype(str), f"^x has dtype <U32, {KINDS}"),
    "bytes": (lambda: X.astype("S"), rf"^x has dtype \|S32, {KINDS}"),
    "a data frame with a column of texts": (
        lambda: frame({"a": X[:, 0], "b": X[:, 1], "c": "x"}),
        f"^x has dtype object, {KINDS}",
    ),
    "objects": (lambda: X.astype(object), f"^x has dtype object, {KINDS}"),
    "complex": (lambda: X.astype(complex), f"^x has dtype complex128, {KINDS}"),
    "dates": (lambda: np.zeros((ROWS, 3), dtype="M8[D]"), rf"^x has dtype datetime64\[D\], {KINDS}"),
    "records": (lambda: np.zeros(ROWS, dtype=[("a", "f8")]), f"^x has dtype .*, {KINDS}"),
    "ragged": (
        lambda: [[1.0, 2.0, 3.0], [1.0, 2.0]],
        "^x is no rectangular array of numbers: setting an array element",
    ),
    "None": (lambda: None, r"^x is of type NoneType, expected a \(dense\) array, a table, or lists of numbers$"),
    "sparse": (lambda: sparse(X), r"^x is of type csr_array, expected a \(dense\) array"),
    "a generator": (lambda: (row for row in X), "^x is of type generator, expected"),
    "a dict": (lambda: {"a": X}, "^x is of type dict, expected"),
    "a text": (lambda: "data.csv", f"^x has dtype <U8, {KINDS}"),
    "a complex array of another library": (
        lambda: array_api_strict.zeros((ROWS, 3), dtype=array_api_strict.complex64),
        f"^x has dtype .*complex64, {KINDS}",
    ),
}

CALLS: dict[str, Callable[[mc.Model, Any], Any]] = {
    "fit": lambda model, x: model.fit(x, Y),
    "predict": lambda model, x: model.predict(x),
    "evaluate": lambda model, x: model.evaluate(x, Y),
    "validation_data": lambda model, x: model.fit(X, Y, validation_data=(x, Y)),
}


def refused(model: mc.Model, act: Callable[[], Any], error: type[Exception], said: str) -> str:
    """The message of the error; nothing has changed, and the model trains on."""
    before, metrics, progress = state_of(model), dict(model.metrics), model.rate_scale
    with pytest.raises(error, match=said) as caught:
        act()
    assert type(caught.value) is error and isinstance(caught.value, (mc.MlpcoreError, ValueError))
    assert_same(state_of(model), before)
    assert model.metrics == metrics and model.rate_scale == progress
    text = str(caught.value)
    assert "\n" not in text and not text.endswith(" ")
    return text


@pytest.mark.parametrize("call", CALLS)
@pytest.mark.parametrize("case", ROWS_OF_X)
def test_rows_that_cannot_be_used(case: str, call: str) -> None:
    build, said = ROWS_OF_X[case]
    model = make(PLAIN, metrics=["r2"], ema=0.5)
    x = build()
    if call == "validation_data":
        said = "^validation_data: " + said.removeprefix("^")
    refused(model, lambda: CALLS[call](model, x), mc.DataError, said)
    assert len(model.fit(X, Y, epochs=1, validation_data=(X, Y))) == 1


def test_numbers_that_the_dtype_cannot_hold() -> None:
    """Finite as they come, infinite as float32: the cure is another one than for gaps."""
    big = changed(X, (3, 1), 1e300)
    said = (
        r"^x has numbers too large for float32 in column 1; scale them \(mc.Standardize\) or make the model with dtype"
    )
    for call in CALLS:
        model = make(PLAIN, dtype="float32")
        where = said.replace("^", "^validation_data: ") if call == "validation_data" else said
        refused(model, lambda model=model, call=call: CALLS[call](model, big), mc.DataError, where)
    assert make(PLAIN).predict(big).shape == (ROWS, 2)
    refused(
        make(PLAIN, dtype="float32"),
        lambda: make(PLAIN, dtype="float32").fit(changed(big, (3, 0), NAN), Y),
        mc.DataError,
        "NaN or infinity in column 0, 1",
    )


def test_gaps_are_found_in_every_block(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mlpcore.training.data.BLOCK", 6)  # two rows
    for row in range(ROWS):
        model = make(PLAIN, dtype="float32")
        refused(model, lambda m=model, r=row: m.predict(changed(X, (r, 1), NAN)), mc.DataError, "NaN .* column 1;")
        refused(
            model, lambda m=model, r=row: m.predict(changed(X, (r, 2), 1e99)), mc.DataError, "too large .* column 2;"
        )
    assert make(PLAIN).predict(X).shape == (ROWS, 2)


@given(at=hnp.arrays(bool, (ROWS, 3)), value=st.sampled_from([NAN, INF, -INF]))
def test_every_bad_column_is_named(at: np.ndarray, value: float) -> None:
    model, x = make(PLAIN), np.where(at, value, X)
    columns = np.flatnonzero(at.any(axis=0))
    if not columns.size:
        model.predict(x)
        return
    refused(model, lambda: model.predict(x), mc.DataError, f"in column {', '.join(map(str, columns))};")


def test_a_long_list_of_columns_is_cut() -> None:
    model = make(mc.Linear(40, 2))
    text = refused(model, lambda: model.predict(np.full((2, 40), NAN)), mc.DataError, "column 0, 1, 2")
    assert "column 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, ...;" in text


# --- targets

REALS: dict[str, tuple[Callable[[], Any], str]] = {
    "too few rows": (lambda: Y[:5], r"^y has shape \(5, 2\), expected 22 rows like x$"),
    "a number": (lambda: 1.0, r"^y has shape \(\), expected 22 rows like x$"),
    "empty": (list, r"^y has shape \(0,\), expected 22 rows like x$"),
    "None": (lambda: None, "^y is of type NoneType, expected"),
    "flat for two scores": (
        lambda: Y[:, 0],
        r"^HalfSquaredError\(\): y has shape \(22, 1\), expected \(n, 2\) for the scores",
    ),
    "too many columns": (lambda: np.c_[Y, Y], r"^HalfSquaredError\(\): y has shape \(22, 4\), expected \(n, 2\)"),
    "three axes": (lambda: Y[:, :, None], r"y has shape \(22, 2, 1\), expected \(n, 2\)"),
    "NaN": (
        lambda: changed(Y, (3, 1), NAN),
        r"^HalfSquaredError\(\): y holds NaN or infinity in column 1, expected finite",
    ),
    "infinity": (lambda: changed(Y, (3, 0), INF), "y holds NaN or infinity in column 0"),
    "masked": (lambda: np.ma.MaskedArray(Y, mask=Y > 1), "^y is a masked array"),
    "strings": (lambda: Y.astype(str), f"^y has dtype <U32, {KINDS}"),
    "complex": (lambda: Y.astype(complex), f"^y has dtype complex128, {KINDS}"),
    "objects": (lambda: Y.astype(object), f"^y has dtype object, {KINDS}"),
    "ragged": (lambda: [[1.0, 2.0], [1.0]], "^y is no rectangular array of numbers"),
}
CLASSES: dict[str, tuple[Callable[[], Any], str]] = {
    "a label too large": (
        lambda: LABELS + 1,
        r"^SoftmaxCrossEntropy\(\): y has labels from 1 to 3, expected 0 to 2 for 3 scores$",
    ),
    "a negative label": (lambda: LABELS - 1, "y has labels from -1 to 1, expected 0 to 2 for 3 scores"),
    "labels as floats": (
        lambda: LABELS.astype(float),
        r"y has dtype float64, expected integer labels; y.astype\('int64'\)",
    ),
    "no labels at all": (
        lambda: LABELS + 0.5,
        "expected integer labels; use a loss for real numbers, such as SquaredError",
    ),
    "a label that is missing": (
        lambda: changed(LABELS.astype(float), 3, NAN),
        "y has dtype float64, expected integer labels",
    ),
    "texts": (lambda: np.array(["a", "b", "c"])[LABELS], f"^y has dtype <U1, {KINDS}"),
    "probabilities of two classes": (
        lambda: np.eye(2)[LABELS % 2],
        r"y has shape \(22, 2\), expected \(n, 3\) for the scores",
    ),
    "shares above one": (lambda: 2 * np.eye(3)[LABELS], "y has rows that do not sum to 1, expected probabilities"),
    "negative shares": (
        lambda: np.eye(3)[LABELS] - [[0.5, 0, 0]],
        "y holds negative numbers in column 0, expected prob",
    ),
}


@pytest.mark.parametrize("call", ["fit", "evaluate", "validation_data"])
@pytest.mark.parametrize("case", [*REALS, *CLASSES])
def test_targets_that_cannot_be_used(case: str, call: str) -> None:
    build, said = (REALS | CLASSES)[case]
    model, good = (make(PLAIN), Y) if case in REALS else (classifier(metrics=["accuracy"]), LABELS)
    y = build()
    if call == "fit":
        act: Callable[[], Any] = lambda: model.fit(X, y)  # noqa: E731
    elif call == "evaluate":
        act = lambda: model.evaluate(X, y)  # noqa: E731
    else:
        act, said = (lambda: model.fit(X, good, validation_data=(X, y))), said.replace("^", "^validation_data: ")
    refused(model, act, mc.DataError, said)
    assert len(model.fit(X, good, epochs=1)) == 1


OF_LOSSES: dict[str, tuple[mc.Model, Any, str]] = {
    "counts below zero": (
        make(mc.Linear(3, 2), mc.Poisson()),
        Y - 9,
        r"^Poisson\(\): y holds negative numbers in column 0, 1",
    ),
    "no probabilities": (
        make(mc.Linear(3, 1), mc.SigmoidCrossEntropy()),
        LABELS,
        r"^SigmoidCrossEntropy\(\): y holds numbers outside \[0, 1\] in column 0, expected 0, 1 or probabilities",
    ),
    "flags from -1 to 1": (make(mc.Linear(3, 1), mc.SigmoidCrossEntropy()), 2 * (LABELS > 0) - 1, "numbers outside"),
    "two means": (make(mc.Linear(3, 4), mc.GaussianNLL()), Y[:, :1], r"y has shape \(22, 1\), expected \(n, 2\)"),
    "two targets": (make(mc.Linear(3, 3), mc.Quantile()), Y, r"y has shape \(22, 2\), expected \(n, 1\) or \(n,\)"),
    "yes or no by softmax": (
        make(mc.Linear(3, 1), mc.SoftmaxCrossEntropy()),
        (LABELS > 0).astype(int),
        "for 1 scores; for yes or no from one score use SigmoidCrossEntropy",
    ),
}


@pytest.mark.parametrize("case", OF_LOSSES)
def test_targets_that_a_loss_cannot_use(case: str) -> None:
    model, y, said = OF_LOSSES[case]
    refused(model, lambda: model.fit(X, y), mc.DataError, said)


def test_rows_that_do_not_match() -> None:
    model = make(PLAIN)
    refused(model, lambda: model.fit(X[:5], Y), mc.DataError, r"^y has shape \(22, 2\), expected 5 rows like x$")


# --- weights

WEIGHTS: dict[str, tuple[Callable[[], Any], str]] = {
    "too few": (lambda: np.ones(5), r"^sample_weight has shape \(5,\), expected \(22,\) like the rows of x$"),
    "a column": (lambda: np.ones((ROWS, 1)), r"^sample_weight has shape \(22, 1\), expected \(22,\)"),
    "a number": (lambda: 2.0, r"^sample_weight has shape \(\), expected \(22,\)"),
    "negative": (
        lambda: changed(np.ones(ROWS), 7, -2.0),
        "^sample_weight is -2.0 in row 7, expected finite numbers of 0 or",
    ),
    "NaN": (
        lambda: changed(np.ones(ROWS), 7, NAN),
        "^sample_weight is nan in row 7, expected finite numbers of 0 or more$",
    ),
    "infinite": (lambda: changed(np.ones(ROWS), 0, INF), "^sample_weight is inf in row 0"),
    "all zero": (
        lambda: np.zeros(ROWS),
        "^sample_weight makes every row's weight zero .*, expected at least one positive",
    ),
    "texts": (lambda: ["a"] * ROWS, f"^sample_weight has dtype <U1, {KINDS}"),
    "complex": (lambda: np.ones(ROWS) * 1j, f"^sample_weight has dtype complex128, {KINDS}"),
    "a word": (lambda: "balanced", "^sample_weight has dtype <U8"),
    "masked": (lambda: np.ma.MaskedArray(np.ones(ROWS), mask=LABELS == 0), "^sample_weight is a masked array"),
}


@pytest.mark.parametrize("call", ["fit", "evaluate", "validation_data"])
@pytest.mark.parametrize("case", WEIGHTS)
def test_weights_that_cannot_be_used(case: str, call: str) -> None:
    build, said = WEIGHTS[case]
    model, weights = make(PLAIN), build()
    acts: dict[str, Callable[[], Any]] = {
        "fit": lambda: model.fit(X, Y, sample_weight=weights),
        "evaluate": lambda: model.evaluate(X, Y, sample_weight=weights),
        "validation_data": lambda: model.fit(X, Y, validation_data=(X, Y, weights)),
    }
    said = said.replace("^", "^validation_data: ") if call == "validation_data" else said
    refused(model, acts[call], mc.DataError, said)


@pytest.mark.parametrize(
    ("weight", "said"), [(1e-60, "every row's weight zero"), (1e60, "too large"), (1e38, "too large")]
)
def test_weights_that_the_dtype_cannot_hold(weight: float, said: str) -> None:
    """Alone or in their sum; else training would stand still, or speak of a loss that is not finite."""
    model, weights = make(PLAIN, dtype="float32"), np.full(ROWS, weight)
    refused(
        model, lambda: model.fit(X, Y, sample_weight=weights), mc.DataError, f"sample_weight makes .*{said}.* float32"
    )
    refused(model, lambda: model.evaluate(X, Y, sample_weight=weights), mc.DataError, said)
    assert make(PLAIN).fit(X, Y, sample_weight=weights).loss == pytest.approx(make(PLAIN).fit(X, Y).loss)


OF_CLASSES: dict[str, tuple[Any, str]] = {
    "a label that is not there": ({0: 1.0, 7: 2.0}, "^class_weight names 7, which is no label in y$"),
    "labels of two kinds": ({"cat": 1.0, 7: 2.0}, "^class_weight names 'cat', 7, which is no label in y$"),
    "negative": ({0: -1.0}, "^class_weight of 0 is -1.0, expected a finite number of 0 or more$"),
    "NaN": ({1: NAN}, "^class_weight of 1 is nan, expected a finite number"),
    "infinite": ({1: INF}, "^class_weight of 1 is inf"),
    "a text": ({1: "2"}, "^class_weight of 1 is '2'"),
    "None": ({2: None}, "^class_weight of 2 is None"),
    "a list": ({2: [1.0]}, r"^class_weight of 2 is \[1.0\]"),
    "yes": ({2: True}, "^class_weight of 2 is True"),
    "nothing left": ({0: 0, 1: 0, 2: 0}, "^class_weight makes every row's weight zero"),
    "another word": ("even", "^class_weight is 'even', expected a dict of label: weight, 'balanced' or None$"),
    "an array": (np.ones(3), "^class_weight is array"),
    "a number": (2.0, "^class_weight is 2.0, expected a dict"),
    "too large": (
        {0: 1e300},
        "^class_weight makes weights whose sum is too large for float32; divide them by a common",
    ),
}


@pytest.mark.parametrize("case", OF_CLASSES)
def test_class_weights_that_cannot_be_used(case: str) -> None:
    class_weight, said = OF_CLASSES[case]
    model = classifier(dtype="float32")
    refused(model, lambda: model.fit(X, LABELS, class_weight=class_weight), mc.DataError, said)


def test_class_weights_need_labels() -> None:
    said = "^class_weight needs integer class labels as the target; use sample_weight instead$"
    for model, y in ((make(PLAIN), Y), (make(mc.Linear(3, 1), mc.SigmoidCrossEntropy()), LABELS > 0)):
        refused(model, lambda model=model, y=y: model.fit(X, y, class_weight={0: 2.0}), mc.DataError, said)


# --- the call of fit

CONFIG = mc.ConfigurationError
WHOLE = "expected a whole number of 1 or more$"
ARGUMENTS: dict[str, tuple[dict[str, Any], type[Exception], str]] = {
    "no epochs": ({"epochs": 0}, CONFIG, f"^fit: epochs is 0, {WHOLE}"),
    "negative epochs": ({"epochs": -3}, CONFIG, f"^fit: epochs is -3, {WHOLE}"),
    "epochs as a float": ({"epochs": 3.0}, CONFIG, f"^fit: epochs is 3.0, {WHOLE}"),
    "epochs as a text": ({"epochs": "3"}, CONFIG, f"^fit: epochs is '3', {WHOLE}"),
    "epochs as yes": ({"epochs": True}, CONFIG, f"^fit: epochs is True, {WHOLE}"),
    "epochs as NumPy's yes": ({"epochs": np.True_}, CONFIG, f"^fit: epochs is np.True_, {WHOLE}"),
    "epochs as NumPy's float": ({"epochs": np.float64(3)}, CONFIG, r"^fit: epochs is np.float64\(3.0\)"),
    "several epochs": ({"epochs": np.array([3])}, CONFIG, r"^fit: epochs is array\(\[3\]\)"),
    "no batch": ({"batch_size": 0}, CONFIG, f"^fit: batch_size is 0, {WHOLE}"),
    "NumPy's no batch": ({"batch_size": np.int64(0)}, CONFIG, rf"^fit: batch_size is np.int64\(0\), {WHOLE}"),
    "half a batch": ({"batch_size": 0.5}, CONFIG, f"^fit: batch_size is 0.5, {WHOLE}"),
    "None for a batch": ({"batch_size": None}, CONFIG, f"^fit: batch_size is None, {WHOLE}"),
    "a word for shuffle": ({"shuffle": "no"}, CONFIG, "^fit: shuffle is 'no', expected one of True, False$"),
    "a number for shuffle": ({"shuffle": 1}, CONFIG, "^fit: shuffle is 1, expected one of True, False$"),
    "validation by share": (
        {"validation_data": 0.2},
        mc.DataError,
        r"^validation_data is of type float, expected a pair \(x, y\) or",
    ),
    "validation by x alone": (
        {"validation_data": X},
        mc.DataError,
        "^validation_data is of type ndarray, expected a pair",
    ),
    "validation of one": ({"validation_data": (X,)}, mc.DataError, "^validation_data is a tuple of 1, expected a pair"),
    "validation of four": (
        {"validation_data": [X] * 4},
        mc.DataError,
        "^validation_data is a list of 4, expected a pair",
    ),
}


@pytest.mark.parametrize("case", ARGUMENTS)
def test_arguments_of_fit_that_cannot_work(case: str) -> None:
    words, error, said = ARGUMENTS[case]
    model = make(PLAIN)
    refused(model, lambda: model.fit(X, Y, **words), error, said)


@pytest.mark.parametrize("batch_size", [0, -1, 2.5, True, "4"])
def test_batches_of_predict(batch_size: Any) -> None:
    model = make(PLAIN)
    refused(model, lambda: model.predict(X, batch_size=batch_size), CONFIG, f"^predict: batch_size is .*, {WHOLE}")


def test_metrics_that_do_not_fit_the_target_are_found_before_training() -> None:
    model = classifier(metrics=["r2"])
    said = (
        r"^validation_data: r2: the target has shape \(1,\) and the prediction \(1, 3\), expected one number for each"
    )
    refused(model, lambda: model.fit(X, LABELS, validation_data=(X, LABELS)), mc.DataError, said)
    refused(model, lambda: model.evaluate(X, LABELS), mc.DataError, "^r2: the target has shape")
    assert len(model.fit(X, LABELS, epochs=1)) == 1, "nobody asks for metrics here"


@pytest.mark.parametrize("gave", [np.ones(3), None, "good", np.array([]), 1j])
def test_what_a_metric_gives_must_be_a_number(gave: Any) -> None:
    def strange(target: Any, prediction: Any) -> Any:
        return gave

    model = make(PLAIN, metrics=[strange])
    refused(
        model, lambda: model.evaluate(X, Y), CONFIG, "^metrics: strange gave .* of shape .*, expected one real number"
    )


# --- what a model is made of


def other_accuracy(target: Any, prediction: Any) -> float:
    return 0.0


other_accuracy.__name__ = "accuracy"


def loss(target: Any, prediction: Any) -> float:
    return 0.0


GOOD: dict[str, Any] = {"net": PLAIN, "loss": mc.SquaredError(), "optimizer": mc.Adam()}
LIKE_A_LAYER = r"expected a layer like Sequential\(Linear\(2, 3\), ReLU\(\)\)$"
MODELS: dict[str, tuple[dict[str, Any], str]] = {
    "a list of layers": (
        {"net": [mc.Linear(3, 2), mc.ReLU()]},
        rf"^Model: net is \[Linear\(3, 2\), ReLU\(\)\], {LIKE_A_LAYER}",
    ),
    "a class of layers": ({"net": mc.ReLU}, f"^Model: net is <class '.*ReLU'>, {LIKE_A_LAYER}"),
    "widths": ({"net": (3, 2)}, rf"^Model: net is \(3, 2\), {LIKE_A_LAYER}"),
    "no network": ({"net": None}, "^Model: net is None"),
    "nothing to train": (
        {"net": mc.Sequential(mc.ReLU())},
        r"^Model: Sequential\(ReLU\(\)\) has no parameters to train$",
    ),
    "a class of losses": (
        {"loss": mc.SquaredError},
        r"^Model: loss is <class .*SquaredError'>, expected a loss like Squ.*\(\)$",
    ),
    "a loss by name": ({"loss": "mse"}, r"^Model: loss is 'mse', expected a loss like SquaredError\(\)$"),
    "an optimizer for a loss": ({"loss": mc.Adam()}, r"^Model: loss is Adam\(\), expected a loss"),
    "a class of optimizers": (
        {"optimizer": mc.Adam},
        r"^Model: optimizer is <class .*Adam'>, expected an optimizer like Adam",
    ),
    "an optimizer by name": (
        {"optimizer": "adam"},
        r"^Model: optimizer is 'adam', expected an optimizer like Adam\(1e-3\)$",
    ),
    "a rate for an optimizer": ({"optimizer": 0.1}, "^Model: optimizer is 0.1, expected an optimizer"),
    "a layer for an optimizer": ({"optimizer": mc.ReLU()}, r"^Model: optimizer is ReLU\(\)"),
    "Softmax twice": (
        {"net": mc.Sequential(mc.Linear(3, 2), mc.Softmax()), "loss": mc.SoftmaxCrossEntropy()},
        r"^Model: the network ends in Softmax\(\), but SoftmaxCrossEntropy\(\) takes raw scores and applies its link "
        "itself; leave the last layer out, predict gives what it would have given$",
    ),
    "Sigmoid twice, nested": (
        {
            "net": mc.Sequential(mc.Linear(3, 2), mc.Sequential(mc.ReLU(), mc.Sequential(mc.Sigmoid()))),
            "loss": mc.SigmoidCrossEntropy(),
        },
        r"^Model: the network ends in Sigmoid\(\), but SigmoidCrossEntropy",
    ),
    "an odd number for means and variances": (
        {"net": mc.Linear(3, 3), "loss": mc.GaussianNLL()},
        r"^Model: the network gives 3 columns, but GaussianNLL\(\) takes 2 for one column of y, 4 for two; change",
    ),
    "quantiles": (
        {"net": mc.Linear(3, 4), "loss": mc.Quantile()},
        r"gives 4 columns, but Quantile\(\) takes 3 for one",
    ),
    "float16": ({"dtype": "float16"}, "^Model: dtype is 'float16', expected one of 'float32', 'float64'$"),
    "a type of NumPy": ({"dtype": np.float32}, "^Model: dtype is <class 'numpy.float32'>, expected one of 'float32'"),
    "a dtype of NumPy": (
        {"dtype": np.dtype("float32")},
        r"^Model: dtype is dtype\('float32'\), expected one of 'float32'",
    ),
    "no precision": ({"precision": "low"}, "^Model on numpy: precision is 'low', expected one of 'highest'$"),
    "a negative seed": ({"seed": -1}, r"^Model: seed is -1, expected a whole number from 0 to 2\^64 - 1$"),
    "a long seed": ({"seed": 1 << 64}, "^Model: seed is 18446744073709551616, expected"),
    "a seed of None": ({"seed": None}, "^Model: seed is None"),
    "a float as seed": ({"seed": 1.0}, "^Model: seed is 1.0"),
    "yes as seed": ({"seed": np.True_}, "^Model: seed is True"),
    "a negative penalty": ({"l2": -0.1}, "^Model: l2 is -0.1, expected a finite number of at least 0$"),
    "an infinite penalty": ({"l2": INF}, "^Model: l2 is inf, expected a finite number"),
    "yes as penalty": ({"l2": True}, "^Model: l2 is True"),
    "None as penalty": ({"l2": None}, "^Model: l2 is None, expected a finite number"),
    "clipping to nothing": ({"clip_norm": 0.0}, "^Model: clip_norm is 0.0, expected a finite number above 0$"),
    "clipping below nothing": ({"clip_value": -1}, "^Model: clip_value is -1, expected a finite number above 0$"),
    "clipping by NaN": ({"clip_value": NAN}, "^Model: clip_value is nan"),
    "an average that never moves": (
        {"ema": 1.0},
        "^Model: ema is 1.0, expected a finite number of at least 0 and below 1$",
    ),
    "a negative average": ({"ema": -0.5}, "^Model: ema is -0.5"),
    "an unknown metric": (
        {"metrics": ["acc"]},
        "^metrics: 'acc' is not known, expected a function or one of accuracy, bal",
    ),
    "a metric without a list": (
        {"metrics": "accuracy"},
        r"^Model: metrics is 'accuracy', expected a list such as \['accuracy'\]$",
    ),
    "a function without a list": (
        {"metrics": other_accuracy},
        "^Model: metrics is <function .*>, expected a list such as",
    ),
    "no metrics": ({"metrics": None}, "^Model: metrics is None, expected a list"),
    "a metric twice": (
        {"metrics": ["r2", "r2"]},
        "^Model: metrics has a second 'r2', expected names that differ from each",
    ),
    "two lambdas": (
        {"metrics": [lambda t, p: 0.0, lambda t, p: 1.0]},
        "^Model: metrics has a second '<lambda>', .*; write functions with def, each under a name of its own$",
    ),
    "a function under a known name": (
        {"metrics": ["accuracy", other_accuracy]},
        "^Model: metrics has a second 'accuracy'",
    ),
    "a metric called loss": (
        {"metrics": [loss]},
        "^Model: metrics has 'loss', expected names that differ from each other and",
    ),
}


@pytest.mark.parametrize("case", MODELS)
def test_models_that_cannot_be_made(case: str) -> None:
    words, said = MODELS[case]
    with pytest.raises(mc.ConfigurationError, match=said):
        mc.Model(**(GOOD | words))


@pytest.mark.parametrize(
    ("words", "error", "said"),
    [
        (
            {"backend": "tensorflow"},
            CONFIG,
            "^backend is 'tensorflow', expected one of 'numpy', 'cupy', 'torch', 'jax'",
        ),
        ({"backend": None}, CONFIG, "^backend is None, expected one of"),
        (
            {"device": "cuda"},
            mc.BackendUnavailable,
            "^backend 'numpy': there is no device 'cuda', expected 'cpu' or None$",
        ),
    ],
)
def test_backends_that_are_not_there(words: dict, error: type[Exception], said: str) -> None:
    with pytest.raises(error, match=said):
        mc.Model(**GOOD, **words)


NETS: dict[str, tuple[Callable[[], Any], str]] = {
    "neighbours": (
        lambda: mc.Sequential(mc.Linear(3, 4), mc.ReLU(), mc.Linear(5, 2)),
        r"^Sequential: layer 0 Linear\(3, 4\) gives 4 columns, which layer 2 does not take: Linear\(5, 2\): x has "
        "4 columns, expected 5$",
    ),
    "inside": (
        lambda: mc.Sequential(mc.Linear(3, 4), mc.Residual(mc.Sequential(mc.Linear(4, 6), mc.LayerNorm(4)))),
        r"^Sequential: layer 0 Linear\(4, 6\) gives 6 columns, which layer 1 does not take: LayerNorm\(4\): x has 6",
    ),
    "a way round": (
        lambda: mc.Residual(mc.Linear(3, 4)),
        r"^Linear\(3, 4\): x has 4 columns, expected 3$|^Residual\(.*\): the inner layer makes 4 columns",
    ),
    "a list": (
        lambda: mc.Sequential([mc.Linear(3, 4)]),
        r"^Sequential: \[Linear\(3, 4\)\] is not a layer; write Sequential\(",
    ),
    "a class": (lambda: mc.Sequential(mc.Linear(3, 4), mc.ReLU), "^Sequential: <class '.*ReLU'> is not a layer"),
    "no columns": (lambda: mc.Linear(0, 3), f"^Linear: in_features is 0, {WHOLE}"),
    "half a column": (lambda: mc.Linear(3, 2.5), f"^Linear: out_features is 2.5, {WHOLE}"),
    "yes columns": (lambda: mc.Linear(3, True), f"^Linear: out_features is True, {WHOLE}"),
    "NumPy's no columns": (lambda: mc.Linear(np.int64(0), 3), f"^Linear: in_features is 0, {WHOLE}"),
    "dropping all": (
        lambda: mc.Dropout(1.0),
        "^Dropout: rate is 1.0, expected a finite number of at least 0 and below",
    ),
    "a rate of nothing": (lambda: mc.Adam(0), "^Adam: learning_rate is 0, expected a finite number above 0$"),
    "a negative rate": (lambda: mc.SGD(-0.1), "^SGD: learning_rate is -0.1, expected a finite number above 0$"),
    "a rate of NaN": (
        lambda: mc.Adam(np.float32("nan")),
        "^Adam: learning_rate is nan, expected a finite number above 0$",
    ),
    "an infinite rate": (lambda: mc.Adam(INF), "^Adam: learning_rate is inf"),
    "a rate as a text": (lambda: mc.Adam("0.1"), "^Adam: learning_rate is '0.1', expected a number or a schedule$"),
    "a class of schedules": (
        lambda: mc.SGD(mc.StepDecay),
        "^SGD: learning_rate is <class .*StepDecay'>, expected a number or",
    ),
    "several rates": (
        lambda: mc.SGD(np.array([0.1, 0.2])),
        r"^SGD: learning_rate is array\(\[0.1, 0.2\]\), expected a number",
    ),
    "negative decay": (
        lambda: mc.AdamW(weight_decay=-1.0),
        "^AdamW: weight_decay is -1.0, expected a finite number of at",
    ),
    "a word": (lambda: mc.Adam(eps_on="both"), "^Adam: eps_on is 'both', expected one of 'corrected', 'uncorrected'$"),
    "an array for a word": (lambda: mc.Adam(eps_on=np.array(["a", "b"])), "^Adam: eps_on is array"),
    "one for yes": (lambda: mc.SGD(0.1, momentum=0.5, nesterov=1), "^SGD: nesterov is 1, expected one of False, True$"),
}


@pytest.mark.parametrize("case", NETS)
def test_parts_that_cannot_be_made(case: str) -> None:
    build, said = NETS[case]
    with pytest.raises(mc.ConfigurationError, match=said):
        build()


def test_numbers_of_numpy_become_pythons_own_in_every_configuration() -> None:
    """So that they print, compare and are saved like any other."""
    pairs = [
        (mc.Linear(np.int64(2), np.int32(3), bias=np.False_), mc.Linear(2, 3, bias=False)),
        (mc.Adam(np.float64(0.25), beta1=np.float32(0.5)), mc.Adam(0.25, beta1=0.5)),
        (mc.Dropout(np.float64(0.5)), mc.Dropout(0.5)),
        (mc.StepDecay(np.float32(0.5), np.int8(4), np.float64(0.5)), mc.StepDecay(0.5, 4, 0.5)),
        (mc.Quantile((np.float64(0.25), np.float32(0.5))), mc.Quantile((0.25, 0.5))),
        (mc.Huber(np.float64(2.0)), mc.Huber(2.0)),
        (mc.Adam(np.array(0.25)), mc.Adam(0.25)),
    ]
    for got, expected in pairs:
        assert got == expected and hash(got) == hash(expected) and repr(got) == repr(expected)
        for name, value in vars(expected).items():
            assert type(getattr(got, name)) is type(value), name


# --- parameters


def replaced(tree: Any, name: str, change: Callable[[np.ndarray], Any]) -> Any:
    names = iter([leaf for leaf, _ in named_leaves(tree)])
    return tree_map(lambda leaf: change(leaf) if next(names) == name else leaf, tree)


BN = mc.Sequential(mc.Linear(3, 4), mc.BatchNorm(4), mc.Linear(4, 2))
TREES: dict[str, tuple[Callable[[Any], Any], str]] = {
    "another shape": (
        lambda tree: replaced(tree, "0.weight", np.transpose),
        r"^params: 0.weight has shape \(4, 3\), expected \(3, 4\)$",
    ),
    "NaN": (
        lambda tree: replaced(tree, "2.bias", lambda leaf: leaf * NAN),
        "^params: 2.bias has NaN or infinity as float32, expected finite numbers$",
    ),
    "infinity in the statistics": (
        lambda tree: replaced(tree, "1.running_var", lambda leaf: leaf / 0),
        "^params: 1.running_var has NaN or infinity",
    ),
    "too large": (
        lambda tree: replaced(tree, "2.weight", lambda leaf: np.full(leaf.shape, 1e300)),
        "^params: 2.weight has NaN or infinity as float32",
    ),
    "complex": (
        lambda tree: replaced(tree, "2.bias", lambda leaf: leaf + 1j),
        f"^params: 2.bias has dtype complex64, {KINDS}",
    ),
    "texts": (
        lambda tree: replaced(tree, "2.bias", lambda leaf: ["a", "b"]),
        f"^params: 2.bias has dtype <U1, {KINDS}",
    ),
    "ragged": (
        lambda tree: replaced(tree, "2.weight", lambda leaf: [[1.0], [1.0, 2.0]]),
        "^params: 2.weight is no rectangular array",
    ),
    "masked": (lambda tree: replaced(tree, "2.bias", np.ma.MaskedArray), "^params: 2.bias is a masked array"),
    "a leaf too few": (
        lambda tree: (*tree[:2], {"weight": tree[2]["weight"]}),
        r"^params: 2.bias is missing, expected shape \(2,\); a layer's parameters are a dict, a container's a tuple",
    ),
    "no statistics": (
        lambda tree: (tree[0], {name: tree[1][name] for name in ("gain", "bias")}, tree[2]),
        r"^params: 1.running_mean is missing, expected shape \(4,\)",
    ),
    "a leaf too many": (
        lambda tree: (*tree, {"bias": np.ones(2)}),
        "^params: 3.bias is not in the network, expected 0.weight, ",
    ),
    "a list for a tuple": (list, "^params: 0.bias is missing"),
    "a vector": (lambda tree: np.ones(100), "^params: 0.bias is missing"),
}


@pytest.mark.parametrize("case", TREES)
def test_parameters_that_do_not_fit(case: str) -> None:
    """Given to the constructor, and to a model that then stays as it is."""
    change, said = TREES[case]
    model = make(BN, dtype="float32", ema=0.5)
    model.fit(X, Y, epochs=1)
    with np.errstate(all="ignore"):
        tree = change(model.params)
    refused(model, lambda: setattr(model, "params", tree), mc.DataError, said)
    with pytest.raises(mc.DataError, match=said):
        make(BN, dtype="float32", params=tree)


@pytest.mark.parametrize("scale", [0.0, -1.0, NAN, INF, True, "1", None])
def test_scales_of_the_rate_that_cannot_work(scale: Any) -> None:
    model = make(PLAIN)
    said = "^Model: rate_scale is .*, expected a finite number above 0$"
    refused(model, lambda: setattr(model, "rate_scale", scale), mc.ConfigurationError, said)


def test_bad_input_in_the_middle_of_a_models_life_changes_nothing_in_it() -> None:
    """Trained, refused in many ways, trained on: like one that was never asked."""
    model, other = make(PLAIN, ema=0.5), make(PLAIN, ema=0.5)
    model.fit(X, Y, epochs=2)
    for build, _ in ROWS_OF_X.values():
        bad = build()
        for act in CALLS.values():
            with pytest.raises(mc.DataError):
                act(model, bad)
    for build, _ in REALS.values():
        with pytest.raises(mc.DataError):
            model.fit(X, build())
    for words, error, _ in ARGUMENTS.values():
        with pytest.raises(error):
            model.fit(X, Y, **words)
    model.fit(X, Y, epochs=2)
    other.fit(X, Y, epochs=4)
    assert_same(state_of(model), state_of(other))
