"""mlpcore as a contender: `Model.fit` and `Model.predict` on one backend, as a user calls them."""

from collections.abc import Callable
from typing import Any

import numpy as np

from mlpcore.backends import get_backend
from mlpcore.bench.contenders import OURS, Contender
from mlpcore.bench.workloads import LEARNING_RATE, Task
from mlpcore.errors import BackendUnavailable
from mlpcore.losses import SoftmaxCrossEntropy
from mlpcore.model import Model
from mlpcore.optimizers import Adam
from mlpcore.training.ingest import ingest
from mlpcore.training.interruption import Interruption

DEVICES = {"cpu": {"numpy", "torch", "jax", "array_api_strict"}, "cuda": {"cupy", "torch", "jax"}}


def build(task: Task, device: str, name: str, captured: bool = False) -> Model:
    """The model of a task on the backend ``name``, with the task's initial parameters.

    With ``captured`` steps are launched as CUDA graphs.
    """
    if name not in DEVICES[device]:
        raise BackendUnavailable(f"backend {name!r} does not run on device {device!r}")
    tree: list[dict] = []
    for weight, bias in task.params:
        tree += [{"weight": weight, "bias": bias}, {}]  # {} for the ReLU after it; the last layer has none
    net = task.workload.network()
    backend = get_backend(name, None if name == "cupy" else device)
    words: dict[str, Any] = {"backend": backend, "dtype": task.dtype, "params": tuple(tree[:-1])}
    words |= {"precision": task.precision, "compile": True if captured else "auto"}
    return Model(net, SoftmaxCrossEntropy(), Adam(LEARNING_RATE), **words)


def contender(task: Task, device: str, name: str, captured: bool = False) -> Contender:
    """mlpcore on the backend ``name``; as for the peers, the data are on the device before the measurement."""
    return contender_of(task, build(task, device, name, captured), OURS + name + " captured" * captured)


def contender_of(task: Task, model: Model, name: str = "") -> Contender:
    """The contender that trains this model."""
    backend, batch = model.backend, task.workload.batch
    with backend.scope(task.dtype):
        x, y = backend.asarray(task.x), backend.asarray(task.y)

    def train(epochs: int) -> None:
        model.fit(x, y, epochs=epochs, batch_size=batch)
        backend.extras.synchronize()

    def stepper(order: np.ndarray) -> Callable[[], None]:
        with backend.scope(task.dtype):
            data, weights = ingest(model.trainer, x, y)
        rows = np.ravel(order)

        def steps() -> None:
            with backend.scope(task.dtype):
                model.trainer.epoch(data, weights, lambda epoch: rows, batch, Interruption())
                backend.extras.synchronize()

        return steps

    def predictor(rows: np.ndarray) -> Any:
        with backend.scope(task.dtype):
            placed = backend.asarray(rows)

        def predict() -> Any:
            prediction = model.predict(placed)
            # In JAX, waiting for one array takes less time than for all.
            getattr(prediction, "block_until_ready", backend.extras.synchronize)()
            return prediction

        return predict

    def params() -> list[tuple[np.ndarray, np.ndarray]]:
        leaves = (leaf for leaf in model.params if leaf)
        return [(backend.to_numpy(leaf["weight"]), backend.to_numpy(leaf["bias"])) for leaf in leaves]

    return Contender(name, train, predictor, params, stepper)
