"""The workloads by name: network, batch size, number of rows, and the cost of the matrix products."""

from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np

from mlpcore.configuration import check_count, configuration
from mlpcore.layers import Linear, ReLU, Sequential
from mlpcore.random import Stream

LEARNING_RATE = 1e-3  # of Adam, which trains every workload


@configuration
class Workload:
    """A ReLU classifier with these ``widths``, trained in ``steps`` batches of ``batch`` rows an epoch."""

    name: str
    batch: int
    widths: tuple[int, ...]
    steps: int

    def __post_init__(self) -> None:
        check_count(self, batch=self.batch, steps=self.steps)
        check_count(self, **{f"widths[{i}]": width for i, width in enumerate(self.widths)})

    @property
    def rows(self) -> int:
        """The number of rows of an epoch; all batches are full."""
        return self.batch * self.steps

    @property
    def shape(self) -> str:
        """The widths as text: ``64-100-10``."""
        return "-".join(map(str, self.widths))

    @property
    def forward_flops(self) -> int:
        """Operations of the forward matrix products for a row; a multiplication and an addition count as two."""
        return sum(2 * n_in * n_out for n_in, n_out in pairwise(self.widths))

    @property
    def flops(self) -> int:
        """Operations of training for a row: forward and twice as many backward, without the first input gradient."""
        return 3 * self.forward_flops - 2 * self.widths[0] * self.widths[1]

    @property
    def parameters(self) -> int:
        """The number of weights and biases."""
        return sum((n_in + 1) * n_out for n_in, n_out in pairwise(self.widths))

    def network(self) -> Sequential:
        """The network: Linear layers with ReLU between them."""
        layers: list[Any] = [layer for pair in pairwise(self.widths) for layer in (Linear(*pair), ReLU())]
        return Sequential(*layers[:-1])


class Task(NamedTuple):
    """The input of all contenders: the workload's rows, labels and initial ``(weight, bias)`` pairs on the host.

    ``precision`` is that of matrix products, as in `mlpcore.Model`: "highest", "tf32" or "bfloat16".
    """

    workload: Workload
    dtype: str
    x: np.ndarray
    y: np.ndarray
    params: list[tuple[np.ndarray, np.ndarray]]
    precision: str = "highest"


def make_task(workload: Workload, dtype: str = "float32", seed: int = 0, precision: str = "highest") -> Task:
    """A task with normal rows, and labels from a random linear map with noise."""
    rng = np.random.default_rng(seed)
    x = rng.standard_normal((workload.rows, workload.widths[0]), dtype="float32").astype(dtype, copy=False)
    classes = workload.widths[-1]
    scores = x @ rng.standard_normal((workload.widths[0], classes)).astype(dtype) + rng.gumbel(size=(len(x), classes))
    y = scores.argmax(axis=1)
    y[:classes] = np.arange(classes)[: len(y)]  # scikit-learn needs a row of each class
    tree = workload.network().init(Stream(seed, "init"), dtype)
    return Task(workload, dtype, x, y, [(leaf["weight"], leaf["bias"]) for leaf in tree if leaf], precision)


WORKLOADS = (
    Workload("tiny", 32, (2, 16, 2), steps=1024),
    Workload("digits", 200, (64, 100, 10), steps=100),
    Workload("tabular", 256, (32, 128, 128, 8), steps=200),
    Workload("mnist", 256, (784, 512, 512, 10), steps=50),
    Workload("deep", 1024, (128, *[256] * 6, 10), steps=16),
    Workload("wide", 4096, (256, 1024, 1024, 10), steps=4),
)
SWEEP = tuple(
    Workload(name, batch, widths, steps=min(128, max(1, 8192 // batch)))
    for name, widths in (("narrow", (64, 128, 128, 10)), ("broad", (256, 1024, 1024, 10)))
    for batch in (4**power for power in range(9))
)
