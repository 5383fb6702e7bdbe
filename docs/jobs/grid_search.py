"""A grid search in a pipeline: scikit-learn's own tools, with the candidates trained side by side.

Quality: the accuracy on held-out rows beside that of the most frequent class, and the same choice as `GridSearchCV`.
"""

import warnings

from sklearn.datasets import load_breast_cancer
from sklearn.dummy import DummyClassifier
from sklearn.exceptions import ConvergenceWarning
from sklearn.model_selection import GridSearchCV, train_test_split
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import StandardScaler

from mlpcore.sklearn import MLPClassifier, StackedSearchCV

warnings.simplefilter("ignore", ConvergenceWarning)  # 40 epochs are few, and enough here

X, y = load_breast_cancer(return_X_y=True)
X, X_test, y, y_test = train_test_split(X, y, stratify=y, random_state=0)
pipeline = Pipeline([("scale", StandardScaler()), ("mlp", MLPClassifier((16,), max_iter=40, random_state=0))])
grid = {"mlp__alpha": [1e-4, 1e-1], "mlp__learning_rate_init": [1e-4, 3e-3], "mlp__dropout": [0.0, 0.2]}

search = StackedSearchCV(pipeline, grid, cv=4).fit(X, y)
for params, score in zip(search.cv_results_["params"], search.cv_results_["mean_test_score"], strict=True):
    print(f"{score:.3f} {params}")

theirs = GridSearchCV(pipeline, grid, cv=4).fit(X, y)
accuracy, trivial = search.score(X_test, y_test), DummyClassifier().fit(X, y).score(X_test, y_test)
print(f"accuracy {accuracy:.3f}, of the most frequent class {trivial:.3f}")

assert search.best_params_ == theirs.best_params_
assert search.best_params_["mlp__learning_rate_init"] == 3e-3
assert accuracy > 0.94 > trivial + 0.2
