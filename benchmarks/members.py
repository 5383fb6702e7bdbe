"""Measures each activation, loss and optimizer in the place of ReLU, softmax cross-entropy and Adam, against JAX.

Run ``taskset -c 0 python -m benchmarks.members`` for one core. Whole epochs of the workload "tabular" by `Model.fit` on
NumPy and by hand-written JAX, an epoch under one ``jit`` (`benchmarks.jax_members`), in alternating rounds; the ratio
is the median of the ratios of each round. The last line is softmax cross-entropy as a user would write it.
"""

import argparse
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np

import mlpcore as mc
from benchmarks import jax_members
from benchmarks.jax_members import LEVELS, SMOOTHING
from benchmarks.results import Writer
from mlpcore.bench.measure import alternate
from mlpcore.bench.suite import Record
from mlpcore.bench.tables import TextTable, as_text, cases, count, rate, ratio, times
from mlpcore.bench.workloads import WORKLOADS, Task, make_task
from mlpcore.gradient_check import draw_targets
from mlpcore.namespace import namespace
from mlpcore.random import Stream

TABULAR = next(workload for workload in WORKLOADS if workload.name == "tabular")
RELU, CROSS_ENTROPY, ADAM = "ReLU", "SoftmaxCrossEntropy", "Adam"

ACTIVATIONS: dict[str, Any] = {
    **{name: getattr(mc, name)() for name in jax_members.ACTIVATIONS if " " not in name},
    "GELU tanh": mc.GELU("tanh"),
}
LOSSES: dict[str, tuple[Any, str, int]] = {  # with the kind of target and its columns
    "HalfSquaredError": (mc.HalfSquaredError(), "reals", 8),
    "SquaredError": (mc.SquaredError(), "reals", 8),
    "AbsoluteError": (mc.AbsoluteError(), "reals", 8),
    "Huber": (mc.Huber(), "reals", 8),
    "Quantile": (mc.Quantile(LEVELS), "reals", 2),
    "PoissonNLL": (mc.PoissonNLL(), "counts", 8),
    "GaussianNLL": (mc.GaussianNLL(), "reals", 4),
    "SigmoidCrossEntropy": (mc.SigmoidCrossEntropy(), "flags", 8),
    "SoftmaxCrossEntropy": (mc.SoftmaxCrossEntropy(), "labels", 8),
    "SoftmaxCrossEntropy of probabilities": (mc.SoftmaxCrossEntropy(), "probabilities", 8),
    "SoftmaxCrossEntropy, smoothed": (mc.SoftmaxCrossEntropy(label_smoothing=SMOOTHING), "labels", 8),
}
OPTIMIZERS: dict[str, Any] = {
    "SGD": mc.SGD(1e-2),
    "SGD, momentum": mc.SGD(1e-2, momentum=0.9),
    **{name: getattr(mc, name)() for name in jax_members.OPTIMIZERS if not name.startswith("SGD")},
}


class ClassLikelihood:
    """Softmax cross-entropy of labels as a user would write it."""

    def outputs(self, target_columns: int) -> int:
        """One score for each class."""
        return target_columns

    def prepare(self, target: Any, outputs: int, dtype: Any) -> Any:
        """The labels, unchecked."""
        return namespace(target).astype(target, namespace(target).int32)

    def value_and_grad(self, z: Any, target: Any, weights: Any) -> tuple[Any, Any]:
        """``log(sum(exp(z))) - z_t`` and ``softmax(z) - onehot(t)``."""
        xp = namespace(z)
        shifted = z - xp.max(z, axis=-1, keepdims=True)
        powers = xp.exp(shifted)
        total = xp.sum(powers, axis=-1, keepdims=True)
        label = xp.astype(xp.expand_dims(target, axis=-1) == xp.arange(z.shape[-1], dtype=target.dtype), z.dtype)
        rows = xp.log(total[..., 0]) - xp.sum(label * shifted, axis=-1)
        return xp.sum(weights * rows, axis=-1), xp.expand_dims(weights, axis=-1) * (powers / total - label)

    def predict(self, z: Any) -> Any:
        """``softmax(z)``."""
        xp = namespace(z)
        powers = xp.exp(z - xp.max(z, axis=-1, keepdims=True))
        return powers / xp.sum(powers, axis=-1, keepdims=True)


class Case(NamedTuple):
    """The names of the case and of its activation, loss and optimizer, one of which replaces the default."""

    name: str
    activation: str = "ReLU"
    loss: str = "SoftmaxCrossEntropy"
    optimizer: str = "Adam"


CASES = (
    *(Case(name, activation=name) for name in ACTIVATIONS),
    *(Case(name, loss=name) for name in LOSSES),
    *(Case(name, optimizer=name) for name in OPTIMIZERS),
)
Train = Callable[[int], list[tuple]]  # trains for whole epochs; returns the (weight, bias) pairs
SCAN, OURS, USERS = "jax scan", "mlpcore numpy", "a user's loss"


def target_of(task: Task, case: Case) -> np.ndarray:
    """The raw target of the loss, for every row."""
    _, kind, columns = LOSSES[case.loss]
    target = draw_targets(Stream(0), task.workload.rows, columns)[kind]
    return target.astype("int32" if target.dtype.kind == "i" else "float32")


def ours(task: Task, case: Case, loss: Any = None) -> Train:
    """Training by `Model.fit`; ``loss`` replaces that of the case."""
    loss = LOSSES[case.loss][0] if loss is None else loss
    layers: list[Any] = []
    params: list[dict] = []
    for weight, bias in task.params:
        layers += [mc.Linear(*weight.shape), ACTIVATIONS[case.activation]]
        params += [{"weight": weight, "bias": bias}, {}]
    words: dict[str, Any] = {"dtype": task.dtype, "params": tuple(params[:-1])}
    model = mc.Model(mc.Sequential(*layers[:-1]), loss, OPTIMIZERS[case.optimizer], **words)
    target = target_of(task, case)

    def train(epochs: int) -> list[tuple]:
        model.fit(task.x, target, epochs=epochs, batch_size=task.workload.batch)
        return [(leaf["weight"], leaf["bias"]) for leaf in model.params if leaf]

    return train


def theirs(task: Task, case: Case) -> Train:
    """Training of the same network in JAX."""
    formulas = (
        jax_members.ACTIVATIONS[case.activation],
        jax_members.LOSSES[case.loss],
        jax_members.OPTIMIZERS[case.optimizer],
    )
    return jax_members.trainer(task.params, task.x, target_of(task, case), task.workload.batch, *formulas)


def measured(case: Case, rounds: int, seconds: float) -> Iterator[Record]:
    """Yield a record of an epoch for each contender."""
    task = make_task(TABULAR)
    runs: dict[str, Train] = {SCAN: theirs(task, case), OURS: ours(task, case)}
    if case == Case(case.loss):
        runs[USERS] = ours(task, case, ClassLikelihood())
    for train in runs.values():
        train(1)  # it compiles
    about = {"what": "member", "workload": case.name, "batch": TABULAR.batch, "dtype": task.dtype, "device": "cpu"}
    for name, samples in alternate(runs, rounds, seconds).items():
        yield about | {"rows": TABULAR.rows, "contender": name, "seconds": samples}


def members_table(records: Sequence[Record]) -> TextTable:
    """The table of rows/s of both for every member, and their ratio."""
    rows = []
    for (task, name, *_), by_contender in cases(records).items():
        for contender in (OURS, USERS):
            if task == "member" and contender in by_contender:
                label = name if contender == OURS else f"{name} as a user's own"
                speeds = [count(rate(by_contender[contestant])) for contestant in (contender, SCAN)]
                rows.append([label, *speeds, times(ratio(by_contender[contender], by_contender[SCAN]))])
    title = f"one member exchanged at {TABULAR.shape}, batch {TABULAR.batch}, float32"
    return TextTable(title, ["in its place", "mlpcore numpy, rows/s", "jax scan, rows/s", "against jax scan"], rows)


def main(argv: Sequence[str] | None = None) -> None:
    """Measure, print and write."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", help="the JSON file to write")
    parser.add_argument("--only", default="", help="what the names of the members have in them, a comma between")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--seconds", type=float, default=0.2, help="of a contender in a round")
    arguments = parser.parse_args(argv)
    writer = Writer(arguments.out, "cpu", rounds=arguments.rounds, seconds=arguments.seconds)
    for case in dict.fromkeys(CASES):
        if any(word in case.name for word in arguments.only.split(",")):
            writer.add(measured(case, arguments.rounds, arguments.seconds))
    print(as_text(members_table(writer.records)))


if __name__ == "__main__":
    main()
