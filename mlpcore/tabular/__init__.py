"""Tables with texts, categories, dates and gaps: reading, encoding, and networks that work well without tuning.

`TabularClassifier` and `TabularRegressor` need scikit-learn, and are imported when first asked for.
"""

from typing import Any

from mlpcore.errors import MissingDependency
from mlpcore.tabular.encoder import TableEncoder
from mlpcore.tabular.reading import read_table
from mlpcore.tabular.saved import TableModel, load

__all__ = ["TableEncoder", "TableModel", "TabularClassifier", "TabularRegressor", "load", "read_table"]


def __getattr__(name: str) -> Any:
    if name not in ("TabularClassifier", "TabularRegressor"):
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    try:
        from mlpcore.tabular import estimators
    except ImportError as error:
        raise MissingDependency(
            f"{name} needs scikit-learn, which cannot be imported ({error}); pip install 'mlpcore[sklearn]'"
        ) from None
    return getattr(estimators, name)
