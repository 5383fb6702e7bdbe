"""Labels of a classifier: missing ones, mixed ones, and the same ones in another form; and the weights of classes."""

import warnings
from typing import Any

import numpy as np
import pytest
from optional import optional

sklearn = optional("sklearn")

from hypothesis import given  # noqa: E402
from hypothesis import strategies as st  # noqa: E402
from sklearn.model_selection import KFold, cross_val_score  # noqa: E402

import mlpcore as mc  # noqa: E402
from mlpcore.sklearn import MLPClassifier  # noqa: E402

RNG = np.random.default_rng(0)
X = RNG.normal(size=(60, 3))
LABELS = np.digitize(X[:, 0], [-0.5, 0.5])
WORDS: dict[str, Any] = {"hidden_layer_sizes": (3,), "random_state": 0, "max_iter": 2}

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")


def classifier(**words: Any) -> MLPClassifier:
    return MLPClassifier(**(WORDS | words))


def flat(estimator: Any) -> np.ndarray:
    return np.concatenate([np.asarray(part).reshape(-1) for part in (*estimator.coefs_, *estimator.intercepts_)])


# --- missing and mixed labels


@pytest.mark.parametrize("labels", [LABELS, LABELS > 0, np.array(["a", "b", "c"])[LABELS]], ids=["int", "bool", "text"])
@given(row=st.integers(0, 59))
def test_a_missing_label_is_named_by_its_row(labels: np.ndarray, row: int) -> None:
    pandas = optional("pandas")
    polars = optional("polars")
    y = labels.astype(object)
    for gap in (None, np.nan, pandas.NA, pandas.NaT):
        y[row] = gap
        of_columns = [polars.Series([*labels[:row].tolist(), None, *labels[row + 1 :].tolist()])] if gap is None else []
        typed = pandas.Series(y).convert_dtypes()
        for given_y in (y, y.tolist(), y[:, None], pandas.Series(y), typed, typed.astype("category"), *of_columns):
            for act in (
                lambda y=given_y: classifier().fit(X, y),
                lambda y=given_y: classifier().fit(X, labels, validation_data=(X, y)),
                lambda y=given_y: classifier().partial_fit(X, y, classes=np.unique(labels)),
            ):
                with pytest.raises(mc.DataError, match=rf"^y has a missing label in row {row} \(.*\); drop the rows"):
                    act()
    with pytest.raises(mc.DataError, match=r"^classes has a missing label in row 3 "):
        classifier().partial_fit(X, labels, classes=[*np.unique(LABELS).tolist(), None])
    with pytest.raises(mc.DataError, match=r"^y has a missing label in row 2 "):
        classifier().fit(X[:3], np.array(["2024-01-01", "2024-01-02", "NaT"], dtype="M8[D]"))


@pytest.mark.parametrize(
    "labels",
    [["a", 1], [1, "a"], np.array(["a", 1], dtype=object), [b"a", "b"], [b"a", b"b"], np.array(["a", "b"], dtype="S1")],
)
def test_labels_that_are_no_one_kind(labels: Any) -> None:
    """NumPy would make texts of the numbers, and the model would answer with those."""
    y = np.resize(labels, 60) if isinstance(labels, np.ndarray) else labels * 30
    for act in (
        lambda: classifier().fit(X, y),
        lambda: classifier().partial_fit(X, LABELS, classes=labels),
        lambda: classifier().fit(X, LABELS, validation_data=(X, y)),
    ):
        with pytest.raises(
            mc.DataError, match=r"^Unknown label type: (y|classes) has labels of type .*, expected strings"
        ):
            act()


def test_whole_numbers_that_no_dtype_holds() -> None:
    with pytest.raises(mc.DataError, match=r"^y has numbers as labels that no dtype of NumPy can hold"):
        classifier().fit(X, [2**70, 1] * 30)
    with pytest.raises(mc.DataError, match=r"^y has numbers as labels that no dtype of NumPy can hold"):
        classifier().fit(X, [2**53 + 1, 1.0] * 30)


# --- the same labels in another form

FORMS: dict[str, Any] = {
    "int64": lambda y: y,
    "int8": lambda y: y.astype("int8"),
    "uint64": lambda y: y.astype("uint64"),
    "floats": lambda y: y.astype(float),
    "objects": lambda y: y.astype(object),
    "a list": lambda y: y.tolist(),
    "a column": lambda y: y[:, None],
}


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.DataConversionWarning")
@pytest.mark.parametrize("form", FORMS)
def test_numbers_of_every_dtype_are_the_same_classes(form: str) -> None:
    expected = classifier(max_iter=4).fit(X, LABELS)
    one = classifier(max_iter=2, warm_start=True, tol=0).fit(X, LABELS).fit(X, FORMS[form](LABELS))
    np.testing.assert_array_equal(flat(one), flat(expected))
    assert one.classes_.dtype == np.int64 == one.predict(X).dtype
    part = classifier().partial_fit(X, LABELS, classes=FORMS[form](np.array([2, 0, 1])))
    part.partial_fit(X, FORMS[form](LABELS), classes=[1.0, 0, 2])
    twice = classifier().partial_fit(X, LABELS, classes=[0, 1, 2]).partial_fit(X, LABELS)
    np.testing.assert_array_equal(flat(part), flat(twice))
    assert part.classes_.tolist() == [0, 1, 2]


def test_large_whole_numbers_stay_apart() -> None:
    large = 2**53 + LABELS
    model = classifier(max_iter=30, learning_rate_init=0.05).fit(X, large)
    assert model.classes_.tolist() == [2**53, 2**53 + 1, 2**53 + 2]
    plain = classifier(max_iter=30, learning_rate_init=0.05).fit(X, LABELS)
    np.testing.assert_array_equal(model.predict(X), 2**53 + plain.predict(X))
    model.partial_fit(X, large.astype("uint64"))
    np.testing.assert_array_equal(flat(model), flat(plain.partial_fit(X, LABELS)))
    with pytest.raises(ValueError, match="classes not in"):
        model.partial_fit(X, large.astype(float) + 4)


@pytest.mark.parametrize("first", ["numbers", "texts"])
def test_texts_of_numbers_are_other_classes(first: str) -> None:
    """They would be the same after NumPy's cast."""
    one, other = (LABELS, LABELS.astype(str)) if first == "numbers" else (LABELS.astype(str), LABELS)
    fitted = classifier(warm_start=True).fit(X, one)
    with pytest.raises(ValueError, match="same classes as in the previous call"):
        fitted.fit(X, other)
    for act in (
        lambda: fitted.partial_fit(X, other),
        lambda: classifier().partial_fit(X, other, classes=np.unique(one)),
        lambda: classifier().fit(X, one, validation_data=(X, other)),
        lambda: classifier().fit(X, one).partial_fit(X, other),
    ):
        with pytest.raises(ValueError, match=r"classes not in `self.classes_`"):
            act()


def test_texts_are_not_cut_to_the_width_of_the_first() -> None:
    short, long = np.where(LABELS > 0, "p", "q"), np.where(LABELS > 0, "p", "q" * 9)
    fitted = classifier(warm_start=True, early_stopping=True).fit(X, short)
    with pytest.raises(ValueError, match="same classes as in the previous call"):
        fitted.fit(X, long)
    assert set(classifier(max_iter=30).fit(X, long).predict(X)) <= {"p", "q" * 9}
    np.testing.assert_array_equal(fitted.fit(X, short.astype("<U9")).classes_, ["p", "q"])


def test_one_label_a_row_or_several_as_in_the_first_fit() -> None:
    several = np.eye(3, dtype=int)[LABELS]
    with pytest.raises(ValueError, match=r"`y` has shape \(60, 3\), expected one label a row"):
        classifier().fit(X, LABELS).partial_fit(X, several)
    with pytest.raises(ValueError, match=r"`y` has shape \(60,\), expected a column for every label"):
        classifier().fit(X, several).partial_fit(X, LABELS)


def test_part_of_the_classes_may_be_held_out_or_come_later() -> None:
    few = LABELS < 2
    for words in ({}, {"warm_start": True}):
        fitted = classifier(**words).fit(X, LABELS, validation_data=(X[few], LABELS[few]))
        assert np.isfinite(fitted.validation_loss_curve_).all()
        fitted.partial_fit(X[few], LABELS[few])


# --- weights of classes


def folds() -> list[np.ndarray]:
    return [LABELS < 2, LABELS > 0, LABELS != 1]


@pytest.mark.parametrize("kind", ["numbers", "texts"])
def test_weights_may_name_a_class_without_a_row(kind: str) -> None:
    labels = LABELS if kind == "numbers" else np.array(["a", "b", "c"])[LABELS]
    weights = dict(zip(np.unique(labels).tolist(), (0.5, 1.0, 4.0), strict=True))
    for rows in folds():
        with warnings.catch_warnings():
            warnings.simplefilter("error", mc.MlpcoreWarning)
            model = classifier(class_weight=weights).fit(X[rows], labels[rows])
        by_row = classifier().fit(
            X[rows], labels[rows], sample_weight=[weights[label] for label in labels[rows].tolist()]
        )
        np.testing.assert_allclose(flat(model), flat(by_row), rtol=1e-12)
    order = np.argsort(LABELS, kind="stable")
    scores = cross_val_score(
        classifier(class_weight=weights), X[order], labels[order], cv=KFold(3), error_score="raise"
    )
    assert np.isfinite(scores).all()


def test_a_name_that_may_be_misspelt_is_told() -> None:
    words = np.array(["a", "b", "c"])[LABELS]
    with pytest.warns(mc.MlpcoreWarning, match="names 'B', which no row of y has, and leaves 'b' at weight 1$"):
        classifier(class_weight={"a": 1, "B": 5.0, "c": 1}).fit(X, words)
    listed = classifier(class_weight={"a": 1, "B": 5.0})
    with pytest.raises(ValueError, match=r"class_weight names 'B', which is no class, expected 'a', 'b', 'c'$"):
        listed.partial_fit(X, words, classes=["a", "b", "c"])
    fitted = classifier(warm_start=True).fit(X, words)
    with pytest.raises(ValueError, match="class_weight names 'B', which is no class"):
        fitted.set_params(class_weight={"B": 5.0}).fit(X, words)


@pytest.mark.parametrize(
    ("labels", "weights"),
    [(LABELS, {"0": 1.0, "1": 2.0}), (LABELS.astype(str), {0: 1.0, 1: 2.0}), (LABELS.astype(str), {b"0": 2.0})],
)
def test_names_of_another_type_are_no_classes(labels: np.ndarray, weights: dict) -> None:
    with pytest.raises(ValueError, match=r"^class_weight names .*, which is no class, expected '?0"):
        classifier(class_weight=weights).fit(X, labels)


def test_names_are_the_same_where_python_says_so() -> None:
    expected = classifier(class_weight={0: 2.0, 1: 0.5, 2: 1.0}).fit(X, LABELS)
    for weights in ({0.0: 2, True: 0.5}, {np.int64(0): np.float32(2), np.float64(1): 0.5}):
        np.testing.assert_array_equal(flat(classifier(class_weight=weights).fit(X, LABELS)), flat(expected))
    of_texts = classifier(class_weight={"0": 2.0, "1": 0.5}).fit(X, LABELS.astype(str))
    np.testing.assert_array_equal(flat(of_texts), flat(expected))


def test_weights_of_several_labels_a_row() -> None:
    several = (X > 0.2).astype(int)
    several[:, 2] = 0  # of which a fold has no row
    weights = [{0: 1.0, 1: 3.0}, {1: 2.0}, {1: 5.0}]
    rows = np.where(several[:, 0], 3.0, 1.0) * np.where(several[:, 1], 2.0, 1.0)
    model = classifier(class_weight=weights).fit(X, several)
    np.testing.assert_allclose(flat(model), flat(classifier().fit(X, several, sample_weight=rows)), rtol=1e-12)
    for bad, said in (
        ({1: 2.0}, "expected a list of 3 dicts"),
        (weights[:2], "expected a list of 3 dicts"),
        ([{2: 1.0}] * 3, "class_weight names 2, which is no class, expected 0, 1"),
    ):
        with pytest.raises(ValueError, match=said):
            classifier(class_weight=bad).fit(X, several)


@pytest.mark.parametrize("weight", [-1.0, np.nan, np.inf, "2", None, True])
def test_weights_that_are_no_weights(weight: Any) -> None:
    with pytest.raises(ValueError, match=r"^class_weight of 1 is .*, expected a finite number of 0 or more$"):
        classifier(class_weight={1: weight}).fit(X, LABELS)
    with pytest.raises(ValueError, match="expected a dict of label to weight"):
        classifier(class_weight=[{1: 2.0}]).fit(X, LABELS)
