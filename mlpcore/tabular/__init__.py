"""Tables with texts, categories, dates and gaps: reading, encoding, and networks that work well without tuning.

`TabularClassifier` and `TabularRegressor` need scikit-learn, and are imported when first asked for.
"""

from typing import Any

from mlpcore.errors import import_extra
from mlpcore.tabular.encoder import TableEncoder
from mlpcore.tabular.reading import read_table
from mlpcore.tabular.saved import TableModel, load

__all__ = ["TableEncoder", "TableModel", "TabularClassifier", "TabularRegressor", "load", "read_table"]
_ESTIMATORS = {"TabularClassifier": "classifier", "TabularRegressor": "regressor"}


def __getattr__(name: str) -> Any:
    if name not in _ESTIMATORS:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    module = f"mlpcore.tabular.{_ESTIMATORS[name]}"
    return getattr(import_extra(module, "sklearn", f"{name} needs scikit-learn, which"), name)
