"""Targets and weights that cannot be used: the error names loss, column, label or row, and nothing has changed."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from fitting import LABELS, PLAIN, ROWS, X, Y, classifier, make
from optional import optional
from refusals import INF, KINDS, NAN, changed, refused

import mlpcore as mc


def series(values: Any) -> Any:
    return optional("pandas").Series(values)


END = "drop the rows without a label, or label them"
HINT = "(, or leave out what is NaN by missing_targets='skip')?$"  # where the loss can
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
        r"^HalfSquaredError\(\): y holds NaN or infinity in column 1, expected finite numbers; "
        "remove or fill these rows, or leave out what is NaN by missing_targets='skip'$",
    ),
    "infinity": (lambda: changed(Y, (3, 0), INF), "y holds NaN or infinity in column 0, .* fill these rows$"),
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
        rf"^SoftmaxCrossEntropy\(\): y has a missing label in row 3 \(NaN\); {END}$",
    ),
    "texts": (lambda: np.array(["a", "b", "c"])[LABELS], f"^y has dtype <U1, {KINDS}"),
    "texts in a data frame": (
        lambda: series(np.array(["a", "b", "c"])[LABELS]),
        f"^y has dtype object, {KINDS}",
    ),
    "a missing label in a data frame": (
        lambda: series(LABELS).astype("Int64").mask(LABELS == 2),
        f"y has a missing label in row {np.argmax(LABELS == 2)} ",
    ),
    "infinity among labels": (
        lambda: changed(LABELS.astype(float), 3, INF),
        "y has dtype float64, expected integer labels; use a loss for real numbers",
    ),
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
        make(mc.Linear(3, 2), mc.PoissonNLL()),
        Y - 9,
        r"^PoissonNLL\(\): y holds negative numbers in column 0, 1",
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

SHAPES = r"expected \(22,\) like the rows of x, or \(22, 2\) like the entries of y$"
WEIGHTS: dict[str, tuple[Callable[[], Any], str]] = {
    "too few": (lambda: np.ones(5), f"^sample_weight has shape .5,., {SHAPES}"),
    "a row": (lambda: np.ones((1, 2)), f"^sample_weight has shape .1, 2., {SHAPES}"),
    "a column too many": (lambda: np.ones((ROWS, 3)), f"^sample_weight has shape .22, 3., {SHAPES}"),
    "three axes": (lambda: np.ones((ROWS, 2, 1)), f"^sample_weight has shape .22, 2, 1., {SHAPES}"),
    "a column": (lambda: np.ones((ROWS, 1)), f"^sample_weight has shape .22, 1., {SHAPES}"),
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
    "a negative entry": (
        lambda: changed(np.ones((ROWS, 2)), (7, 1), -2.0),
        "^sample_weight is -2.0 in row 7, column 1, expected finite numbers of 0 or more$",
    ),
    "an entry that is NaN": (
        lambda: changed(np.ones((ROWS, 2)), (3, 0), NAN),
        "^sample_weight is nan in row 3, column 0, expected finite",
    ),
    "all entries zero": (lambda: np.zeros((ROWS, 2)), "^sample_weight makes every row's weight zero"),
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


def test_weights_of_entries_for_labels() -> None:
    model, said = (
        classifier(),
        r"^sample_weight has shape .22, 3., expected .22,. like the rows of x; weights of entries",
    )
    refused(model, lambda: model.fit(X, LABELS, sample_weight=np.ones((ROWS, 3))), mc.DataError, said)
    refused(model, lambda: model.evaluate(X, LABELS, sample_weight=np.ones((ROWS, 3))), mc.DataError, said)


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
    "a label that is no class": (
        {0: 1.0, 7: 2.0},
        "^class_weight names 7, which is no class; expected labels from 0 to 2$",
    ),
    "labels of two kinds": ({"cat": 1.0, 7: 2.0}, "^class_weight names 'cat', 7, which is no class; expected"),
    "a label as a text": ({"1": 2.0}, "^class_weight names '1', which is no class"),
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
    said = (
        "^class_weight needs class labels as the target, integers or one column of 0 and 1; use sample_weight instead$"
    )
    shares = np.where(LABELS > 0, 0.75, 0.0)
    of_one, of_two = (make(mc.Linear(3, columns), mc.SigmoidCrossEntropy()) for columns in (1, 2))
    for model, y in ((make(PLAIN), Y), (of_one, shares), (of_two, np.eye(3)[LABELS][:, :2])):
        refused(model, lambda model=model, y=y: model.fit(X, y, class_weight={0: 2.0}), mc.DataError, said)
    said = "^class_weight names 2, which is no class; expected labels from 0 to 1$"
    refused(of_one, lambda: of_one.fit(X, LABELS > 0, class_weight={2: 2.0}), mc.DataError, said)


def with_gap(values: np.ndarray, gap: Any) -> np.ndarray:
    values = values.astype(object)
    values[5] = gap
    return values


@pytest.mark.parametrize("loss", ["softmax", "sigmoid", "squares"])
@pytest.mark.parametrize("words", [False, True])
@pytest.mark.parametrize("gap", ["None", "NaN", "NA", "NaT"])
def test_a_missing_label_is_named_by_its_row(gap: str, words: bool, loss: str) -> None:
    pandas = optional("pandas")
    model = {
        "softmax": classifier(),
        "sigmoid": make(mc.Linear(3, 1), mc.SigmoidCrossEntropy()),
        "squares": make(mc.Linear(3, 1)),
    }[loss]
    labels = np.array(["a", "b", "c"])[LABELS] if words else LABELS > 0
    y = with_gap(labels, {"None": None, "NaN": NAN, "NA": pandas.NA, "NaT": pandas.NaT}[gap])
    # Read as numbers with a NaN, which other losses than those of labels name by its column.
    others = [] if loss == "squares" and not words else [y.tolist(), pandas.Series(y).convert_dtypes()]
    for given in (y, y[:, None], pandas.Series(y), *others):
        refused(
            model,
            lambda given=given: model.fit(X, given),
            mc.DataError,
            rf"y has a missing label in row 5 \(.*{END}{HINT}",
        )
