"""Callbacks that write the numbers of every epoch to a file or to a program that shows runs."""

from mlpcore.trackers.csv_log import CSVLog
from mlpcore.trackers.mlflow import MLflow
from mlpcore.trackers.tensorboard import TensorBoard

__all__ = ["CSVLog", "MLflow", "TensorBoard"]
