"""The rows of early stopping that the caller chooses by a splitter or by a list of splits."""

import pickle
from typing import Any

import numpy as np
import pytest
from held_out import GROUPS, LABELS, NUMBERS, PREDEFINED, ROWS, X, held_rows, model, same_fit
from hypothesis import given
from hypothesis import strategies as st
from optional import optional

sklearn = optional("sklearn")

from sklearn.base import clone  # noqa: E402
from sklearn.model_selection import (  # noqa: E402
    GroupKFold,
    GroupShuffleSplit,
    LeaveOneGroupOut,
    LeavePGroupsOut,
    ShuffleSplit,
    StratifiedGroupKFold,
    StratifiedShuffleSplit,
    TimeSeriesSplit,
)

from mlpcore.sklearn import MLPClassifier, MLPRegressor  # noqa: E402

GROUP_SPLITTERS = [
    GroupShuffleSplit(test_size=0.3, random_state=0),
    GroupKFold(2),
    StratifiedGroupKFold(2),
    LeaveOneGroupOut(),
    LeavePGroupsOut(2),
]
SPLITTERS = [
    *GROUP_SPLITTERS[:3],
    PREDEFINED,
    TimeSeriesSplit(2, gap=3),
    ShuffleSplit(1, test_size=0.2, random_state=3),
    StratifiedShuffleSplit(1, test_size=0.2, random_state=3),
    [(NUMBERS[40:10:-1], [3, 1, 2])],
    ([NUMBERS % 2 == 0, NUMBERS % 2 == 1],),
]

pytestmark = pytest.mark.filterwarnings(
    "ignore::sklearn.exceptions.ConvergenceWarning", "ignore:The groups parameter is ignored"
)


@pytest.mark.parametrize("kind", [MLPClassifier, MLPRegressor])
@pytest.mark.parametrize("splitter", SPLITTERS, ids=lambda splitter: type(splitter).__name__)
def test_a_split_is_used_exactly(splitter: Any, kind: type) -> None:
    """The fit is that of the same rows in the same order passed as validation data, and the estimator draws nothing."""
    given = splitter if isinstance(splitter, (list, tuple)) else list(splitter.split(X, LABELS, GROUPS))
    train, held = (np.flatnonzero(side) if np.asarray(side).dtype == bool else np.asarray(side) for side in given[0])
    weights = np.linspace(0.5, 2, ROWS)
    for words in ({}, {"shuffle": False}, {"compat": "sklearn"}):
        validation = (X[held], LABELS[held], weights[held])
        expected = model(kind, **words).fit(X[train], LABELS[train], weights[train], validation)
        split = model(kind, validation_split=splitter, **words)
        same_fit(split.fit(X, LABELS, weights, groups=GROUPS), expected)
    np.testing.assert_array_equal(held_rows(split, X, LABELS, groups=GROUPS), held)


@pytest.mark.parametrize("splitter", GROUP_SPLITTERS, ids=lambda splitter: type(splitter).__name__)
@given(st.lists(st.integers(0, 5), min_size=ROWS, max_size=ROWS).filter(lambda groups: len(set(groups)) > 3))
def test_no_group_is_on_both_sides_of_a_splitter(splitter: Any, groups: list[int]) -> None:
    one, groups = model(validation_split=splitter, max_iter=1), np.array(groups)
    held = held_rows(one, X, LABELS, groups=groups)
    np.testing.assert_array_equal(np.sort(held), np.flatnonzero(np.isin(groups, groups[held])))
    assert one.t_ == ROWS - held.size


def test_time_order_is_kept() -> None:
    one = model(MLPRegressor, validation_split=TimeSeriesSplit(3, test_size=6), shuffle=False)
    np.testing.assert_array_equal(held_rows(one, X, X[:, 1]), np.arange(42, 48))
    assert one.t_ == 3 * 42
    one.set_params(validation_split=list(TimeSeriesSplit(3, test_size=6).split(X))[-1:])
    np.testing.assert_array_equal(held_rows(one, X, X[:, 1]), np.arange(54, 60))


def test_a_splitter_sees_the_data_as_they_were_passed() -> None:
    pandas = optional("pandas")

    class ByColumn:
        def split(self, x: Any, y: Any, groups: Any) -> Any:
            assert y.tolist() == names.tolist()
            yield np.flatnonzero(x["time"] < 0.5), np.flatnonzero(x["time"] >= 0.75)

        def get_n_splits(self, x: Any = None, y: Any = None, groups: Any = None) -> int:
            return 1

    names = np.array(["a", "b", "c"])[LABELS]
    frame = pandas.DataFrame(X, columns=["time", "b", "c"], index=NUMBERS[::-1])
    held = held_rows(model(validation_split=ByColumn()), frame, names)
    np.testing.assert_array_equal(held, np.arange(45, 60))


def test_warm_starts_keep_the_split() -> None:
    words = {"validation_split": PREDEFINED, "n_iter_no_change": 99}
    twice = model(**words, warm_start=True, max_iter=2).fit(X, LABELS).fit(X, LABELS)
    once = model(**words, max_iter=4).fit(X, LABELS)
    assert twice.validation_scores_ == once.validation_scores_ and twice.loss_curve_ == once.loss_curve_


def test_clones_and_pickles() -> None:
    for splitter in (GroupKFold(3), PREDEFINED, [(NUMBERS[:40], NUMBERS[40:])]):
        one = model(validation_split=splitter).fit(X, LABELS, groups=GROUPS)
        assert one.get_params()["validation_split"] is splitter
        for copied in (clone(one), pickle.loads(pickle.dumps(one))):
            same_fit(copied.fit(X, LABELS, groups=GROUPS), one)
    old = dict(model().fit(X, LABELS).__getstate__())
    del old["validation_split"]  # as in pickles from before there was such an argument
    loaded = MLPClassifier.__new__(MLPClassifier)
    loaded.__setstate__(old)
    same_fit(loaded.fit(X, LABELS), model().fit(X, LABELS))
