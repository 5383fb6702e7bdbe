"""The former name of `mlpcore.sklearn.predictor`, which pickles written before December 2026 refer to."""

from mlpcore.sklearn.predictor import Predictor as Runtime

__all__ = ["Runtime"]
