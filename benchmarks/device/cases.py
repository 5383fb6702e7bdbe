"""The cases of the step times, with their targets, and the settings of a rehearsal."""

import os
from collections.abc import Sequence
from dataclasses import replace
from typing import NamedTuple

import numpy as np

from mlpcore.bench.workloads import Workload

REHEARSAL = bool(os.environ.get("DEVICE_REHEARSAL"))  # tiny sizes, peers on the CPU: timings mean nothing
DEVICE = "cuda"  # of mlpcore
PEERS_DEVICE = "cpu" if REHEARSAL else "cuda"
OURS = ("mlpcore cupy", "mlpcore cupy captured")
TORCH = ("torch eager", "torch.compile", "torch graph", "torch graph, compiled")
JAX = "jax scan"


class Case(NamedTuple):
    """A network to be trained; ``steps`` are those of a timed call, over the rows of ``workload.steps`` batches.

    ``torch`` and ``jax`` are the speeds to be reached relative to the best of torch and to JAX, ``share`` the part of
    the rate of the product alone.
    """

    workload: Workload
    precision: str
    steps: int
    torch: float
    jax: float
    share: float | None = None
    rounds: int = 5

    @property
    def name(self) -> str:
        """Batch, widths and precision."""
        return f"{self.workload.batch}; {self.workload.shape} {self.kind}"

    @property
    def kind(self) -> str:
        """The precision in a word: float32, tf32 or bfloat16."""
        return "float32" if self.precision == "highest" else self.precision

    def order(self) -> np.ndarray:
        """Row numbers (steps, batch): each row as often as any other, in random order."""
        rng, rows = np.random.default_rng(1), self.workload.rows
        passes = -(-self.steps * self.workload.batch // rows)
        order = np.concatenate([rng.permutation(rows) for _ in range(passes)])
        return order[: self.steps * self.workload.batch].reshape(self.steps, -1)


def _case(name: str, batch: int, widths: Sequence[int], batches: int, precision: str, *goals: float, **words) -> Case:
    steps = words.pop("steps", 128)
    case = Case(Workload(name, batch, tuple(widths), batches), precision, steps, *goals, **words)
    if REHEARSAL:
        tiny = replace(
            case.workload, batch=max(4, batch // 4096), widths=tuple(max(4, w // 64) for w in widths), steps=2
        )
        case = case._replace(workload=tiny, steps=20, rounds=2)
    return case


CASES = (
    _case("mnist, small", 128, (784, 256, 128, 10), 128, "highest", 1.5, 1.5),
    _case("mnist", 256, (784, 512, 512, 10), 128, "highest", 1.3, 1.3),
    _case("mnist, wide", 1024, (784, 1024, 1024, 10), 32, "tf32", 1.15, 1.15),
    _case("mnist, wide", 1024, (784, 1024, 1024, 10), 32, "bfloat16", 1.15, 1.15),
    _case("large batch", 65536, [256] * 4, 4, "bfloat16", 1.2, 1.2),
    _case("products", 8192, [4096] * 5, 2, "bfloat16", 1.0, 1.0, share=0.85, steps=100, rounds=3),
    _case("narrow", 262144, [64] * 6, 4, "bfloat16", 1.5, 1.5),
)
SECONDS = 0.01 if REHEARSAL else 0.15  # of a contender in a round, and at least the steps of one call
MEMBERS = 3 if REHEARSAL else 64  # of the stack
STACKED = Workload("stack", 8, (4, 8, 10), 4) if REHEARSAL else Workload("stack", 128, (64, 256, 256, 10), 100)
STACK_TIME, STACK_JAX = 2.0, 1.5  # to be reached: the time of one network, the speed of JAX
