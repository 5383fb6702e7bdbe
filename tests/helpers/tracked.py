"""Fits for the tests of trackers, some of which are killed, and what trackers have written."""

import csv
from pathlib import Path
from typing import Any

import numpy as np
from optional import optional

import mlpcore as mc

RNG = np.random.default_rng(0)
X = RNG.normal(size=(60, 3))
Y = (X[:, 0] > 0).astype(int)
NET = mc.Sequential(mc.Linear(3, 4), mc.ReLU(), mc.Linear(4, 2))


def model(rate: float = 0.01, **words: Any) -> mc.Model:
    return mc.Model(NET, mc.SoftmaxCrossEntropy(), mc.Adam(rate), metrics=["accuracy"], **words)


def fit(callbacks: Any, network: mc.Model | None = None, **words: Any) -> mc.History:
    given = {"epochs": 5, "batch_size": 20, "validation_data": (X, Y), "callbacks": callbacks}
    return (network or model()).fit(X, Y, **(given | words))


class Killed(Exception):
    """As a power failure after the tracker has written the epoch and before the checkpoint."""


class KillAt:
    def __init__(self, epoch: int) -> None:
        self.epoch = epoch

    def on_epoch_end(self, report: Any) -> None:
        if report.epoch == self.epoch:
            raise Killed


def lines(path: Path) -> list[dict[str, str]]:
    """The rows of a CSV file by the names of its columns."""
    with open(path, newline="") as file:
        return list(csv.DictReader(file))


def events(folder: Path) -> Any:
    """What TensorBoard itself reads of the folder of a run."""
    accumulator = optional("tensorboard.backend.event_processing.plugin_event_accumulator").EventAccumulator
    return accumulator(str(folder), size_guidance={"tensors": 0}).Reload()


def scalars(folder: Path, name: str) -> list[tuple[int, float]]:
    """The steps and values of a scalar."""
    numbers = optional("tensorboard.util.tensor_util").make_ndarray
    return [(event.step, float(numbers(event.tensor_proto))) for event in events(folder).Tensors(name)]
