"""Errors about the rows of early stopping: groups, splits and choices that cannot be used."""

from typing import Any

import numpy as np
import pytest
from held_out import GROUPS, LABELS, NUMBERS, PREDEFINED, ROWS, X, held_rows, model
from optional import optional

sklearn = optional("sklearn")

from scipy.sparse import csr_matrix  # noqa: E402
from sklearn.model_selection import GroupKFold, PredefinedSplit  # noqa: E402

pytestmark = pytest.mark.filterwarnings(
    "ignore::sklearn.exceptions.ConvergenceWarning", "ignore:The groups parameter is ignored"
)
BAD_GROUPS = [
    (GROUPS[:5], r"groups has shape \(5,\), expected shape \(60,\): one group for every row of X"),
    (GROUPS[:, None], r"groups has shape \(60, 1\), expected shape \(60,\)"),
    (csr_matrix(GROUPS), r"groups is of type csr_matrix, expected shape \(60,\)"),
    ([None, *GROUPS[1:]], "groups has a missing label in row 0"),
    (np.where(NUMBERS == 7, np.nan, 1.0), "groups has a missing label in row 7"),
]
BAD_SPLITS = [
    ([], r"validation_split \(list\) gives no split, expected a pair"),
    ([NUMBERS], "gives an object of type ndarray as its first split, expected a pair"),
    (
        (NUMBERS[:40], NUMBERS[40:]),
        r"validation_split \(tuple\) gives an object of type ndarray as its first split, expected a pair",
    ),
    ([([], NUMBERS)], "gives no rows to train on, expected one or more"),
    ([(NUMBERS, [])], "gives no rows to hold out, expected one or more"),
    ([(NUMBERS[:20], NUMBERS[18:])], "gives 2 rows on both sides, the first is row 18; expected none"),
    ([(NUMBERS[:20], [60])], "gives row 60 to hold out, expected row numbers from 0 to 59"),
    ([([-1, 2], [5])], "gives row -1 to train on, expected row numbers from 0 to 59"),
    ([(NUMBERS[:20], [20.0])], r"an array of shape \(1,\) and dtype float64 as rows to hold out, expected a one-dim"),
    ([(NUMBERS[:20], [[30]])], r"an array of shape \(1, 1\) and dtype int\d+ as rows to hold out"),
    ([(NUMBERS < 20, NUMBERS[:50] > 30)], r"an array of shape \(50,\) and dtype bool as rows to hold out"),
    (PredefinedSplit(np.arange(90) // 30), "gives row 89 to train on, expected row numbers from 0 to 59"),
    (GroupKFold, "validation_split is the class GroupKFold, expected an object of it"),
    (GroupKFold(2), "The 'groups' parameter should not be None"),
    (0.2, "The 'validation_split' parameter of MLPClassifier must be"),
    ("holdout", "The 'validation_split' parameter of MLPClassifier must be"),
    (iter([(NUMBERS[:20], NUMBERS[20:])]), "The 'validation_split' parameter of MLPClassifier must be"),
]


@pytest.mark.parametrize(("groups", "said"), BAD_GROUPS)
@pytest.mark.parametrize("words", [{}, {"early_stopping": False}, {"validation_split": GroupKFold(2)}])
def test_bad_groups(groups: Any, said: str, words: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=said):
        model(**words).fit(X, LABELS, groups=groups)


@pytest.mark.parametrize(("split", "said"), BAD_SPLITS)
def test_bad_splits(split: Any, said: str) -> None:
    one = model(validation_split=split)
    with pytest.raises(ValueError, match=said):
        one.fit(X, LABELS)
    assert not hasattr(one, "coefs_") and not hasattr(one, "n_features_in_")


def test_choices_that_hold_out_nothing_useful() -> None:
    with pytest.raises(ValueError, match=r"groups has one group \(.*'a'.*\), expected two or more"):
        model().fit(X, LABELS, groups=["a"] * ROWS)
    with pytest.raises(ValueError, match="The validation set is too small"):
        model().fit(X, LABELS, groups=NUMBERS[::-1] // 59)
    for words in ({"validation_split": PREDEFINED}, {}):
        one = model(**words)
        held = held_rows(one, X, LABELS, groups=GROUPS)
        for rows, which in ((NUMBERS, "left to train on"), (held, "held out for early stopping")):
            weights = np.isin(NUMBERS, held) == (rows is NUMBERS)
            with pytest.raises(ValueError, match=f"rows {which} have weight 0"):
                one.fit(X, LABELS, weights.astype(float), groups=GROUPS)
    with pytest.raises(ValueError, match=r"test_size=0\.0 should be"):
        model(validation_fraction=0.0).fit(X, LABELS, groups=GROUPS)


def test_one_choice_only() -> None:
    for words in ({"validation_data": (X, LABELS)}, {"X_val": X, "y_val": LABELS}):
        with pytest.raises(ValueError, match="and groups both choose the rows of early stopping, expected one of them"):
            model().fit(X, LABELS, groups=GROUPS, **words)
        with pytest.raises(ValueError, match="and validation_split both choose the rows of early stopping"):
            model(validation_split=PREDEFINED).fit(X, LABELS, **words)
    with pytest.raises(ValueError, match="partial_fit does not support early_stopping"):
        model(validation_split=PREDEFINED).partial_fit(X, LABELS, classes=[0, 1, 2])
