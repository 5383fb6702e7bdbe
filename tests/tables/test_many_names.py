"""Names and labels are looked up, not searched for: their comparisons grow like their number, not like its square."""

import numpy as np
import pytest

from mlpcore.cli.encoding import Encoding
from mlpcore.cli.labels import class_numbers, classes_of
from mlpcore.errors import DataError
from mlpcore.tables import Table, _check_names, split

COUNT = 2000


class Name(str):
    """A name that counts how often it is compared."""

    compared = 0

    def __eq__(self, other):
        Name.compared += 1
        return str.__eq__(self, other)

    __hash__ = str.__hash__


def names(count=COUNT):
    """New objects each time: those that are the same need no comparison."""
    return [Name(f"gene{i}") for i in range(count)]


def labels():
    return np.array(names() + names(), dtype=object)


def renamed():
    table = Table("t.csv", {name: np.ones(2) for name in [*names()[1:], Name("other")]})
    with pytest.raises(DataError, match="lacks the column 'gene0' and has the column 'other'"):
        Encoding(tuple(names()), True, "kind", ("u", "v")).rows(table)


def repeated():
    with pytest.raises(DataError, match="the header has 'gene7' more than once"):
        _check_names([*names(), Name("gene7")], "t.csv")


@pytest.mark.parametrize(
    "act",
    [
        lambda: _check_names(names(), "t.csv"),
        repeated,
        renamed,
        lambda: Table("t.csv", {name: np.ones(2) for name in names()}).find("gene1999"),
        lambda: classes_of(Table("t.csv", {"kind": labels()}), "kind"),
        lambda: class_numbers(Table("t.csv", {"kind": labels()}), "kind", tuple(names())),
    ],
)
def test_comparisons_grow_like_the_names(act):
    Name.compared = 0
    act()
    assert Name.compared < 20 * COUNT


def test_a_split_of_many_classes_keeps_a_row_of_each():
    rest, part = split(200_000, 0.1, 0, np.arange(200_000) % 100_000)  # by one pass for each class: 20 billion rows
    assert len(part) == 20_000 and len(np.unique(rest % 100_000)) == 100_000
