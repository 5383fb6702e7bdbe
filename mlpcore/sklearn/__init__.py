"""scikit-learn's surface: its MLP estimators on mlpcore's layers, losses and backends (extra ``sklearn``).

Change ``from sklearn.neural_network import MLPClassifier`` to ``from mlpcore.sklearn import MLPClassifier``. With the
same integer ``random_state`` the numbers stay the same. docs/estimators.md lists corrected faults and additions.
"""

from mlpcore.errors import MissingDependency

try:
    import sklearn  # noqa: F401  # for a clear message where it is missing
except ImportError as error:
    raise MissingDependency(
        f"mlpcore.sklearn needs scikit-learn, which cannot be imported ({error}); pip install 'mlpcore[sklearn]'"
    ) from None

from mlpcore.sklearn.classifier import MLPClassifier
from mlpcore.sklearn.conversion.ours import from_sklearn
from mlpcore.sklearn.display import LearningCurve
from mlpcore.sklearn.regressor import MLPRegressor
from mlpcore.sklearn.search import StackedSearchCV

__all__ = ["LearningCurve", "MLPClassifier", "MLPRegressor", "StackedSearchCV", "from_sklearn"]
