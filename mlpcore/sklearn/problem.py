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
from mlpcore.training.ingest import ingest_target, stored_rows
from mlpcore.typing import Dataset, Loss, Params


class Problem(NamedTuple):
    """What is to be learnt: x as the backend or as CSR takes it, the target as the loss takes it, both with all rows;
    weights of rows, or of entries of the target, on the host or None; ``y`` as a score takes it. ``given`` is
    validation data of the same kind."""

    x: Any
    target: np.ndarray
    weights: np.ndarray | None
    y: Any
    loss: Loss
    targets: int  # columns, or classes
    stratify: dict[str, Any]
    columns: int  # of the target, as n_outputs_ counts them
    validation: "Problem | None" = None


class DeviceAndDtype(NamedTuple):
    """Where and in what dtype a fit computes; ``name`` is library and device of X."""

    backend: Backend
    dtype: str
    name: tuple[str, str]


class Start(NamedTuple):
    """All that a solver begins with; ``tree`` are the first parameters, ``draws`` the random numbers of the fit."""

    estimator: Any
    problem: Problem
    place: DeviceAndDtype
    net: Sequential
    tree: Params
    draws: Draws

    def model(self, steps: int, seed: int) -> Model:
        """A model to train for ``steps`` steps; the seed is that of the masks of dropout."""
        return Model(
            self.net,
            translation.reported(self.problem.loss, self.estimator.compat),
            translation.optimizer(self.estimator, steps),
            backend=self.place.backend,
            dtype=self.place.dtype,
            seed=seed,
            params=self.tree,
            compile=self.estimator.compile,
            **translation.rules(self.estimator),
        )

    def data(self) -> Dataset:
        """The data on the backend; a sparse x stays on the host."""
        return on_backend(self.problem, self.place)


def on_backend(problem: Problem, place: DeviceAndDtype) -> Dataset:
    """The data of a problem on the backend; a sparse x on the host, and all that does not fit in device memory."""
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
