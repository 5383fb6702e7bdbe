"""A pytest plugin: who imports scikit-learn's MLPs gets mlpcore's. ``MLPCORE_COMPAT`` is their default ``compat``."""

import os

import sklearn.neural_network

from mlpcore.sklearn import MLPClassifier, MLPRegressor

if os.environ.get("MLPCORE_COMPAT"):
    for _estimator in (MLPClassifier, MLPRegressor):
        _estimator.__init__.__kwdefaults__["compat"] = os.environ["MLPCORE_COMPAT"]

sklearn.neural_network.MLPClassifier = MLPClassifier
sklearn.neural_network.MLPRegressor = MLPRegressor
