"""Groups of rows that early stopping holds out as a whole, and their way through scikit-learn's tools."""

from typing import Any

import numpy as np
import pytest
from held_out import GROUPS, LABELS, NUMBERS, PREDEFINED, ROWS, SEEN, X, held_rows, model, same_fit, seen, seen_targets
from hypothesis import given
from hypothesis import strategies as st
from optional import optional

sklearn = optional("sklearn")

from scipy.sparse import csr_matrix  # noqa: E402
from sklearn import config_context  # noqa: E402
from sklearn.base import clone  # noqa: E402
from sklearn.exceptions import UnsetMetadataPassedError  # noqa: E402
from sklearn.model_selection import GridSearchCV, GroupKFold, GroupShuffleSplit, cross_validate  # noqa: E402
from sklearn.pipeline import make_pipeline  # noqa: E402
from sklearn.preprocessing import StandardScaler  # noqa: E402

from mlpcore.sklearn import MLPClassifier, MLPRegressor  # noqa: E402
from mlpcore.sklearn.draws import Draws  # noqa: E402

pytestmark = pytest.mark.filterwarnings(
    "ignore::sklearn.exceptions.ConvergenceWarning", "ignore:The groups parameter is ignored"
)


@given(
    st.lists(st.integers(0, 7), min_size=2, max_size=ROWS).filter(lambda groups: len(set(groups)) > 1),
    st.floats(0.01, 0.99),
    st.booleans(),
)
def test_no_group_is_on_both_sides(groups: list[int], fraction: float, classes: bool) -> None:
    labels = LABELS[: len(groups)] if classes else None
    train, held = Draws(0).held_out_groups(np.array(groups), fraction, classes=labels)
    assert train.size and held.size and sorted([*train, *held]) == list(range(len(groups)))
    assert not {groups[row] for row in train} & {groups[row] for row in held}


@pytest.mark.parametrize("kind", [MLPClassifier, MLPRegressor])
@pytest.mark.parametrize("compat", [None, "sklearn"])
def test_whole_groups_are_held_out(kind: type, compat: str | None) -> None:
    for seed in range(5):
        one = model(kind, random_state=seed, validation_fraction=0.3, shuffle=False, compat=compat)
        held = held_rows(one, X, LABELS, groups=GROUPS)
        train = np.flatnonzero(~np.isin(GROUPS, GROUPS[held]))
        assert train.size + held.size == ROWS
        other = model(kind, random_state=seed, shuffle=False, compat=compat, scoring=seen)
        same_fit(one, other.fit(X[train], LABELS[train], validation_data=(X[held], LABELS[held])))
        np.testing.assert_array_equal(held_rows(clone(one), X, LABELS, groups=GROUPS), held)


@pytest.mark.parametrize("fraction", [0.1, 0.3, 0.6])
def test_groups_keep_the_shares_of_rows_and_of_classes(fraction: float) -> None:
    random = np.random.default_rng(0)
    groups = random.permutation(np.repeat(np.arange(100), random.integers(1, 20, 100)))
    labels = np.where(groups % 10 < 2, 1, random.integers(2, 4, groups.size))  # a fifth of the groups has a class alone
    for seed in range(5):
        held = Draws(seed).held_out_groups(groups, fraction)[1]
        assert held.size / groups.size == pytest.approx(fraction, abs=0.01)
        held = Draws(seed).held_out_groups(groups, fraction, classes=labels)[1]
        shares = np.bincount(labels[held])[1:] / np.bincount(labels)[1:]
        np.testing.assert_allclose(shares, fraction, atol=0.05)


def test_forms_of_groups_and_rows() -> None:
    pandas, torch = optional("pandas"), optional("torch")
    texts = np.array(list("abcdefghi"))[GROUPS]
    expected = model().fit(X, LABELS, groups=GROUPS)
    dates = np.datetime64("2026-01-01") + GROUPS
    for groups in (GROUPS.tolist(), texts, texts.tolist(), pandas.Series(texts, dtype="category"), dates):
        same_fit(model().fit(X, LABELS, groups=groups), expected)
    same_fit(model().fit(pandas.DataFrame(X).to_numpy(), LABELS, groups=torch.asarray(GROUPS)), expected)
    for splitter, of_rows in ((None, GROUPS), (GroupKFold(3), torch.asarray(GROUPS)), (PREDEFINED, None)):
        plain = model(validation_split=splitter).fit(X, LABELS, groups=of_rows)
        for rows in (csr_matrix(X), torch.asarray(X), pandas.DataFrame(X, columns=list("abc"))):
            other = model(validation_split=splitter).fit(rows, LABELS, groups=of_rows)
            np.testing.assert_allclose(np.asarray(other.coefs_[0]), plain.coefs_[0], rtol=1e-9, atol=1e-12)
            assert other.t_ == plain.t_
    table = np.eye(3, dtype=int)[LABELS]
    assert held_rows(model(), X, table, groups=GROUPS).size < ROWS / 2  # multilabel


@pytest.mark.parametrize("words", [{"early_stopping": False}, {"solver": "lbfgs"}])
def test_without_early_stopping_they_are_ignored(words: dict[str, Any]) -> None:
    plain = model(**words).fit(X, LABELS)
    for other in (
        model(**words).fit(X, LABELS, groups=GROUPS),
        model(**words, validation_split=GroupKFold(99)).fit(X, LABELS),
    ):
        np.testing.assert_array_equal(other.coefs_[0], plain.coefs_[0])


@pytest.mark.parametrize("splitter", [None, GroupShuffleSplit(test_size=0.2, random_state=0)])
def test_groups_go_through_a_pipeline_and_a_search(splitter: Any) -> None:
    with config_context(enable_metadata_routing=True):
        net = model(MLPRegressor, max_iter=1, scoring=seen_targets, validation_split=splitter)
        steps = make_pipeline(StandardScaler(), net.set_fit_request(groups=True))
        search = GridSearchCV(steps, {"mlpregressor__alpha": [0.0, 1.0]}, cv=GroupKFold(3))
        for act in (
            lambda: search.fit(X, NUMBERS, groups=GROUPS),
            lambda: cross_validate(steps, X, NUMBERS, cv=GroupKFold(3), params={"groups": GROUPS}),
        ):
            SEEN.clear()
            act()
            assert SEEN
            for held in SEEN:
                np.testing.assert_array_equal(np.sort(held), np.flatnonzero(np.isin(GROUPS, GROUPS[held])))
        direct = clone(steps).fit(X, NUMBERS, groups=GROUPS)[-1]
        np.testing.assert_array_equal(search.fit(X, NUMBERS, groups=GROUPS).best_estimator_[-1].t_, direct.t_)
        with pytest.raises(UnsetMetadataPassedError, match="groups"):
            cross_validate(model(), X, LABELS, cv=GroupKFold(3), params={"groups": GROUPS})
        ignored = model().set_fit_request(groups=False)
        assert len(cross_validate(ignored, X, LABELS, cv=GroupKFold(3), params={"groups": GROUPS})["test_score"]) == 3
    named = make_pipeline(StandardScaler(), model()).fit(X, LABELS, mlpclassifier__groups=GROUPS)
    assert named[-1].t_ < 3 * ROWS
