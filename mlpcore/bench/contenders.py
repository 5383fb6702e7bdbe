"""The contenders: mlpcore on each backend and its peers, each built to do the same work on the same data."""

from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from typing import Any

import numpy as np

from mlpcore.bench.workloads import Task
from mlpcore.errors import BackendUnavailable, MissingDependency

PEERS = {  # name: module of mlpcore.bench.peers, function there
    "torch eager": ("torch", "eager"),
    "torch.compile": ("torch", "compiled"),
    "torch graph": ("torch_graph", "graph"),
    "torch graph, compiled": ("torch_graph", "compiled_graph"),
    "jax step": ("jax", "step"),
    "jax scan": ("jax", "scan"),
    "scikit-learn": ("sklearn", "classifier"),
}
OURS = "mlpcore "  # and the name of a backend, and "captured" for steps captured as CUDA graphs


@dataclass(frozen=True)
class Contender:
    """One implementation of a task.

    ``train(epochs)`` trains for whole epochs, each in a new order of the rows, and returns when the device is done.
    ``stepper(order)`` places an order of rows (steps, batch) and returns a function that runs these steps and waits.
    ``predictor(x)`` moves rows to the device and returns a function that predicts their class probabilities and waits
    for them. ``params()`` are the (weight, bias) pairs on the host, weights (in, out).
    """

    name: str
    train: Callable[[int], None]
    predictor: Callable[[np.ndarray], Callable[[], Any]]
    params: Callable[[], list[tuple[np.ndarray, np.ndarray]]]
    stepper: Callable[[np.ndarray], Callable[[], Any]]


class Skipped(Exception):
    """A contender cannot run on this machine; the message is the reason."""


def ready(name: str, task: Task, device: str = "cpu", order: np.ndarray | None = None) -> Contender:
    """The contender after a first epoch, which includes compilation and set-up; Skipped where it cannot run.

    ``name`` is one of PEERS or ``mlpcore BACKEND``; ``device`` is "cpu" or "cuda". With an ``order`` (steps, batch)
    these steps run in place of the epoch.
    """
    try:
        contender = _maker(name)(task, device)
        if order is None:
            contender.train(1)
        else:
            contender.stepper(order)()
    except (BackendUnavailable, MissingDependency) as error:
        raise Skipped(str(error)) from error
    except Exception as error:
        if name.startswith(OURS):
            raise
        # torch.compile without a C++ compiler, JAX without this device: any error of a peer only skips it.
        raise Skipped((f"{type(error).__name__}: {error}".strip().splitlines())[0]) from error
    return contender


def backend_of(name: str) -> str:
    """The backend of one of mlpcore's contenders."""
    return name.removeprefix(OURS).partition(" ")[0]


def _maker(name: str) -> Callable[[Task, str], Contender]:
    if name.startswith(OURS):
        module, function = import_module("mlpcore.bench.ours"), "contender"
        captured = name.removeprefix(OURS).partition(" ")[2] == "captured"
        return lambda task, device: getattr(module, function)(task, device, backend_of(name), captured)
    library, function = PEERS[name]
    return getattr(import_module(f"mlpcore.bench.peers.{library}"), function)


def library(name: str) -> Any:
    """A peer's module; MissingDependency where it cannot be imported."""
    try:
        return import_module(name)
    except ImportError as error:
        raise MissingDependency(f"{name} cannot be imported ({error}); pip install 'mlpcore[bench]'") from None
