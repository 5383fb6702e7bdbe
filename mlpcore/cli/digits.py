"""The data of ``mlpcore train digits``: scikit-learn's handwritten digits as a table, with a fixed test set."""

from dataclasses import replace
from typing import NamedTuple

import numpy as np

from mlpcore.errors import import_extra
from mlpcore.tables import Table
from mlpcore.tabular.description import Description, of_numbers
from mlpcore.tabular.numeric import standard
from mlpcore.tabular.recipes import RECIPES
from mlpcore.tabular.target import Target

TEST_SHARE, SPLIT = 0.2, 0
# Chosen on other test splits (1 to 5).
RECIPE = replace(RECIPES["realmlp-s"], hidden=(256, 256), dropout=0.3, batch_size=128, epochs=60)


class Digits(NamedTuple):
    """The table, its description, and the numbers of the test rows."""

    table: Table
    description: Description
    test: np.ndarray


def load(split: int = SPLIT) -> Digits:
    """1797 images of 8 x 8 pixels from 0 to 16; the test set is scikit-learn's stratified split of ``random_state``."""
    datasets, selection = (
        import_extra(f"sklearn.{module}", "sklearn", "scikit-learn brings the digits and")
        for module in ("datasets", "model_selection")
    )
    data = datasets.load_digits()
    names = tuple(data.feature_names)
    columns = dict(zip(names, data.data.T, strict=True)) | {"digit": data.target.astype(np.float64)}
    # All pixels have one scale. Standardised one by one, those that are almost always empty would count like the rest.
    encoder = of_numbers({name: standard(0.0, 16.0) for name in names})
    description = Description(encoder, Target("digit", tuple(range(10))))
    _, test = selection.train_test_split(
        np.arange(len(data.target)), test_size=TEST_SHARE, stratify=data.target, random_state=split
    )
    return Digits(Table("digits", columns), description, np.sort(test))
