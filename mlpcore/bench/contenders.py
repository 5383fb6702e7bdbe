"""Who takes part: mlpcore on each backend and its peers, each built to do the same work on the same data."""

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
    "jax step": ("jax", "step"),
    "jax scan": ("jax", "scan"),
    "scikit-learn": ("sklearn", "classifier"),
}
OURS = "mlpcore "  # and the name of a backend


@dataclass(frozen=True)
class Contender:
    """One way to do a task.

    ``train(epochs)`` trains for whole epochs, each in a new order of the rows, and comes back when the device is done.
    ``predictor(x)`` moves the rows to the device and gives the function whose call predicts class probabilities and
    comes back when they are there. ``params()`` are the (weight, bias) pairs on the host, weights (in, out).
    """

    name: str
    train: Callable[[int], None]
    predictor: Callable[[np.ndarray], Callable[[], Any]]
    params: Callable[[], list[tuple[np.ndarray, np.ndarray]]]


class Skipped(Exception):
    """A contender cannot run here; says why."""


def ready(name: str, task: Task, device: str = "cpu") -> Contender:
    """The contender after a first epoch, so that compilation and set-up are behind it; Skipped where it cannot run.

    ``name`` is one of PEERS or ``mlpcore BACKEND``; ``device`` is "cpu" or "cuda".
    """
    try:
        contender = _maker(name)(task, device)
        contender.train(1)
    except (BackendUnavailable, MissingDependency) as error:
        raise Skipped(str(error)) from error
    except Exception as error:
        if name.startswith(OURS):
            raise
        # torch.compile without a C++ compiler, a JAX without this device: whatever they raise, the others go on.
        raise Skipped((f"{type(error).__name__}: {error}".strip().splitlines())[0]) from error
    return contender


def _maker(name: str) -> Callable[[Task, str], Contender]:
    if name.startswith(OURS):
        module, function = import_module("mlpcore.bench.ours"), "contender"
        return lambda task, device: getattr(module, function)(task, device, name.removeprefix(OURS))
    library, function = PEERS[name]
    return getattr(import_module(f"mlpcore.bench.peers.{library}"), function)


def library(name: str) -> Any:
    """A peer's library, or the error that names the extra which brings it."""
    try:
        return import_module(name)
    except ImportError as error:
        raise MissingDependency(f"{name} cannot be imported ({error}); the extra `bench` brings it") from None
