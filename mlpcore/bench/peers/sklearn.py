"""scikit-learn's MLPClassifier as a contender."""

import warnings
from typing import Any

import numpy as np

from mlpcore.bench.contenders import Contender, library
from mlpcore.bench.workloads import LEARNING_RATE, Task
from mlpcore.errors import BackendUnavailable


def classifier(task: Task, device: str) -> Contender:
    """The contender: one `fit` for each call, Adam without penalty; ``warm_start`` saves the initialisation.

    For two classes it has one output, so its last product is half as large as that of the others.
    """
    if device != "cpu":
        raise BackendUnavailable("scikit-learn's MLP runs on the CPU only")
    network, exceptions = library("sklearn.neural_network"), library("sklearn.exceptions")
    batch, classes = task.workload.batch, np.arange(task.workload.widths[-1])
    model = network.MLPClassifier(
        hidden_layer_sizes=task.workload.widths[1:-1],
        learning_rate_init=LEARNING_RATE,
        alpha=0.0,
        batch_size=batch,
        warm_start=True,
        n_iter_no_change=np.inf,
        random_state=0,
    )
    model.partial_fit(task.x[:batch], task.y[:batch], classes=classes)  # allocates the parameters, which are set below
    if len(classes) > 2:
        model.coefs_ = [weight.copy() for weight, _ in task.params]
        model.intercepts_ = [bias.copy() for _, bias in task.params]

    def train(epochs: int) -> None:
        model.set_params(max_iter=epochs)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", exceptions.ConvergenceWarning)
            model.fit(task.x, task.y)

    def predictor(rows: np.ndarray) -> Any:
        return lambda: model.predict_proba(rows)

    def stepper(order: np.ndarray) -> Any:
        raise BackendUnavailable("scikit-learn has no steps in a given order")

    def params() -> list[tuple[np.ndarray, np.ndarray]]:
        return list(zip(model.coefs_, model.intercepts_, strict=True))

    return Contender("scikit-learn", train, predictor, params, stepper)
