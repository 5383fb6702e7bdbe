"""The inputs of an estimator's fit: checked data, device and dtype, the network and its initial parameters."""

from typing import Any, NamedTuple

import numpy as np
from scipy.sparse import issparse

from mlpcore.backends import get_backend
from mlpcore.backends.backend import Backend
from mlpcore.layers import Sequential
from mlpcore.model import Model
from mlpcore.sklearn import translation
from mlpcore.sklearn.draws import Draws
from mlpcore.sklearn.predictor import Predictor, tree_parts
from mlpcore.training.ingest import ingest_target, stored_rows
from mlpcore.typing import Dataset, Loss, Params


class Problem(NamedTuple):
    """The checked data of a fit, all rows, and the loss.

    ``validation`` is the checked validation data, if any was passed.
    """

    x: Any  # (n, features): an array of X's library, or a CSR table
    target: np.ndarray  # as the loss encodes it, on the host: (n,) class numbers or (n, columns)
    weights: np.ndarray | None  # of rows (n,) or of the entries of the target (n, columns), on the host; None: ones
    y: Any  # as passed to scorers
    loss: Loss
    targets: int  # target columns, or the number of classes, from which the loss derives the number of scores
    stratify: dict[str, Any]  # arguments of `Draws.held_out` for the split of the validation rows
    columns: int  # the value of n_outputs_
    validation: "Problem | None" = None
    split: tuple[np.ndarray, np.ndarray] | None = None  # row numbers to train on and to hold out, if the caller chose
    groups: np.ndarray | None = None  # (n,) the groups that are held out as a whole
    task: tuple[Any, dict[str, Any]] | None = None  # context and data of scikit-learn's callbacks, for `EpochTasks`


class DeviceAndDtype(NamedTuple):
    """The backend and dtype of a fit; ``name`` holds the names of the library and the device of X."""

    backend: Backend
    dtype: str
    name: tuple[str, str]


class Start(NamedTuple):
    """The inputs of a solver; ``tree`` are the initial parameters, ``draws`` the random numbers of the fit."""

    estimator: Any
    problem: Problem
    place: DeviceAndDtype
    net: Sequential
    tree: Params
    draws: Draws

    def model(self, steps: int, seed: int) -> Model:
        """A model to train for ``steps`` steps; ``seed`` determines the dropout masks."""
        return Model(
            self.net,
            translation.reported(self.problem.loss, self.estimator.compat),
            translation.optimizer(self.estimator, steps),
            backend=self.place.backend,
            dtype=self.place.dtype,
            seed=seed,
            params=self.tree,
            compile=self.estimator.compile,
            distributed=None,
            **translation.rules(self.estimator),
        )

    def network(self, model: Model) -> dict[str, Any]:
        """The fitted attributes of the network as the model is now, by name; copies, as the next step overwrites it."""
        net, state, place = self.net, model.trainer.state, self.place
        statistics = tuple(leaf + 0 for leaf in state.statistics)
        coefs, intercepts, others = tree_parts(net, model.layout.view(state.params + 0, statistics))
        predictor = Predictor(net, self.problem.loss, others, place.backend, place.dtype, place.name, model.compiled)
        attributes: dict[str, Any] = {"coefs_": coefs, "intercepts_": intercepts, "n_layers_": len(coefs) + 1}
        return attributes | {"_predictor": predictor}

    def data(self) -> Dataset:
        """The data on the backend; a sparse x stays on the host."""
        return on_backend(self.problem, self.place)


def on_backend(problem: Problem, place: DeviceAndDtype) -> Dataset:
    """The data of a problem on the backend. A sparse x stays on the host; if x is too large for the device, all do."""
    backend, dtype = place.backend, place.dtype
    rows, outputs = problem.x.shape[0], problem.loss.outputs(problem.targets)
    if issparse(problem.x):
        x, storage = problem.x.astype(dtype, copy=False), backend
    else:
        x = stored_rows(problem.x, backend, dtype)
        storage = backend if backend.owns(x) else get_backend("numpy")
    target = ingest_target(problem.target, rows, problem.loss, outputs, storage, dtype)
    return Dataset(x, target, storage.asarray(weights_or_ones(problem), dtype=storage.dtypes[dtype]))


def weights_or_ones(problem: Problem) -> np.ndarray:
    """The weights of a problem, ones for the rows where it has none."""
    return np.ones(problem.x.shape[0]) if problem.weights is None else problem.weights
