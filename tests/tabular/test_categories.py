"""Texts as indices: order, rare and unseen levels, gaps, and scikit-learn's encoder where both agree."""

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from optional import optional

from mlpcore.errors import ModelFileError
from mlpcore.tabular import categories
from mlpcore.tabular.categories import CategoryEncoder


def texts(*entries):
    column = np.empty(len(entries), dtype=object)
    column[:] = entries
    return column


def test_levels_are_in_order_of_frequency():
    encoder = CategoryEncoder.fit(texts("b", "a", "b", None, "c", None, None))
    assert encoder.levels == (None, "b", "a", "c") and encoder.size == 5 and encoder.joined == 0
    assert encoder.transform(texts("c", "z", None, "a", "")).tolist() == [4, 0, 1, 3, 0]


@pytest.mark.parametrize(("rows", "least"), [(10, 1), (199, 1), (200, 2), (299, 2), (300, 3), (10_000, 3)])
def test_rare_levels_are_joined_with_the_unseen(rows, least):
    column = texts(*["one"], *["two"] * 2, *["many"] * (rows - 3))
    encoder = CategoryEncoder.fit(column)
    assert encoder.levels == ("many", "two", "one")[: 4 - least]
    assert encoder.joined == pytest.approx({1: 0, 2: 1, 3: 3}[least] / rows)
    missing = CategoryEncoder.fit(texts(None, *["many"] * (rows - 1)))
    assert (None in missing.levels) == (least == 1)


def test_the_number_of_levels_is_bounded(monkeypatch):
    monkeypatch.setattr(categories, "MOST_LEVELS", 2)
    assert CategoryEncoder.fit(texts("c", "b", "a", "b")).levels == ("b", "a")


def test_the_indices_are_those_of_scikit_learn():
    preprocessing = optional("sklearn.preprocessing")
    column = np.random.default_rng(0).choice(["u", "v", "w", "x"], 400, p=[0.5, 0.3, 0.195, 0.005]).astype(object)
    theirs = preprocessing.OrdinalEncoder(handle_unknown="use_encoded_value", unknown_value=-1, min_frequency=3)
    expected = theirs.fit_transform(column[:, None])[:, 0]
    found = CategoryEncoder.fit(column).transform(column)
    names = {level: place for place, level in enumerate(CategoryEncoder.fit(column).levels, start=1)}
    rare = {level for level in theirs.categories_[0] if level not in names}
    assert rare == set(theirs.infrequent_categories_[0] if theirs.infrequent_categories_[0] is not None else [])
    pairs = set(zip(expected, found, strict=True))
    assert len(pairs) == len(set(expected)) == len(set(found))  # one index of ours for one of theirs


ENTRIES = st.none() | st.text(max_size=3)


@given(st.lists(ENTRIES, min_size=1, max_size=30), st.lists(ENTRIES, min_size=1))
def test_every_level_is_found_again_also_after_a_file(column, new):
    encoder = CategoryEncoder.fit(texts(*column))
    again = CategoryEncoder.from_json(json.loads(json.dumps(encoder.to_json())))
    assert again == encoder
    for entries in (column, new):
        indices = encoder.transform(texts(*entries))
        assert again.transform(texts(*entries)).tobytes() == indices.tobytes()
        expected = [entry if entry in column else "none of them" for entry in entries]
        assert [("none of them", *encoder.levels)[int(i)] for i in indices] == expected


@pytest.mark.parametrize("damage", [{"levels": "ab"}, {"levels": ["a", 1]}, {"levels": ["a", "a"]}, {"joined": None}])
def test_damaged_values_are_refused(damage):
    with pytest.raises(ModelFileError, match="is damaged"):
        CategoryEncoder.from_json(CategoryEncoder.fit(texts("a", "b")).to_json() | damage)
