"""Names and labels are looked up, not searched for: their comparisons grow like their number, not like its square."""

import numpy as np
import pytest

from mlpcore.errors import DataError
from mlpcore.tables import Table, split
from mlpcore.tabular.columns import check_told
from mlpcore.tabular.delimited import name_columns
from mlpcore.tabular.description import Description, of_numbers
from mlpcore.tabular.numeric import standard
from mlpcore.tabular.target import Target, class_numbers, labels_of

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
    encoder = of_numbers({name: standard(0.0, 1.0) for name in names()})
    with pytest.raises(DataError, match="lacks the column 'gene0'"):
        Description(encoder, Target("kind", ("u", "v"))).matched(table)


@pytest.mark.parametrize(
    "act",
    [
        lambda: name_columns([*names(), Name("gene7")]),
        lambda: check_told({}, names(), names()),
        renamed,
        lambda: Table("t.csv", {name: np.ones(2) for name in names()}).find("gene1999"),
        lambda: labels_of(Table("t.csv", {"kind": labels()}), "kind", None),
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
