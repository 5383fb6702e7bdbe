"""The programs that a CUDA device would get for fits and predictions: printed, and launched nowhere."""

from collections.abc import Callable
from copy import copy
from dataclasses import replace
from typing import Any, NamedTuple

import members
import numpy as np
from cuda_host import backend

import mlpcore as mc
from mlpcore.backends.compilation import Compilation
from mlpcore.backends.compiled.device_steps import DeviceSteps
from mlpcore.backends.compiled.functions import traced_for
from mlpcore.backends.run import Run
from mlpcore.bench.workloads import WORKLOADS, Workload
from mlpcore.compiler.cuda.bound import BoundDeviceProgram
from mlpcore.compiler.cuda.device import Device
from mlpcore.compiler.cuda.program import DeviceProgram
from mlpcore.compiler.function import TracedFunction
from mlpcore.gradient_check import draw_targets
from mlpcore.random import Stream
from mlpcore.trees import leaves

WIDTH, CLASSES = 5, 3


def _nowhere() -> Device:
    """Host memory that no kernel ever sees."""

    def never(*_: Any) -> None:
        raise AssertionError("a program that is only printed is not to be run")

    return Device(
        kernel=lambda code, name, shared: never,
        put=np.array,
        empty=np.empty,
        view=lambda x, offset, shape, strides: np.lib.stride_tricks.as_strided(
            x[offset:], shape, [one * x.itemsize for one in strides]
        ),
        product=lambda *_: never,
        copy=lambda source, target: np.copyto(target, source),
        clear=never,
        read=never,
        address=never,
        fused_product=lambda product: never,
    )


class Printed(NamedTuple):
    """A program, and the number of rows that it was asked for."""

    traced: TracedFunction
    rows: int

    @property
    def source(self) -> str:
        """The CUDA C."""
        return self.traced.program.source

    def with_epilogues(self) -> "Printed":
        """The same function with products that have epilogues."""
        traced = copy(self.traced)
        traced.program = DeviceProgram(*self.traced.program.arguments, epilogues=True)
        return self._replace(traced=traced)

    def bound(self, state_moves: bool = True) -> BoundDeviceProgram:
        """The program with memory; its ``launches`` say what a call does."""
        inputs = leaves(self.traced.inputs)
        moved = inputs if state_moves else leaves(self.traced.inputs[1:])
        given = {node: np.empty(0, node.dtype) for node in inputs}
        moving = [*moved, *filter(self.traced.program.makes, leaves(self.traced.result))]
        return BoundDeviceProgram(self.traced.program, self.rows, given, _nowhere(), moving)


def printing(programs: list[Printed]) -> Any:
    """A backend like CuPy's that notes programs in the place of running them: a fit leaves the state as it was."""

    def compile_step(step: Any, layout: Any, compilation: Compilation) -> Run:
        steps = DeviceSteps(step, compilation, _nowhere())

        def run(state: Any, data: tuple, order: np.ndarray, draw: Any) -> tuple[Any, np.ndarray]:
            traced, _ = steps.prepare(state, data, order.shape[1], draw)
            programs.append(Printed(traced, order.shape[1]))
            return state, np.zeros(order.shape[0], data[0].dtype)

        return run

    def jit(function: Callable, compilation: Compilation, rows: tuple[int, ...] = (-1,)) -> Callable:
        def call(*arguments: Any) -> Any:
            words = {"program": DeviceProgram, "precision": compilation.precision}
            traced = traced_for(arguments, rows, {}, function, **words)
            if isinstance(traced, TracedFunction):
                programs.append(Printed(traced, leaves(arguments[rows[0]])[0].shape[0]))
            return function(*arguments)

        return call

    return replace(backend(), compile=replace(backend().compile, steps=compile_step, function=jit))


class Case(NamedTuple):
    """A network and how it is trained; ``words`` are those of `mlpcore.Model`."""

    net: Any
    loss: Any = mc.SoftmaxCrossEntropy()
    target: str = "labels"
    optimizer: Any = mc.Adam()
    words: dict[str, Any] = {}  # noqa: RUF012  # nobody writes into it
    columns: int = WIDTH
    classes: int = CLASSES
    batch: int = 8


def network(*between: Any, outputs: int = CLASSES) -> mc.Sequential:
    """Two dense layers and what lies between them, for rows of `WIDTH` columns."""
    width = mc.Sequential(mc.Linear(WIDTH, 4), *between).output_width(WIDTH)
    return mc.Sequential(mc.Linear(WIDTH, 4), *between, mc.Linear(width, outputs))


def _of_workload(workload: Workload) -> Case:
    return Case(workload.network(), columns=workload.widths[0], classes=workload.widths[-1], batch=workload.batch)


def _of_loss(name: str) -> Case:
    loss, target = members.LOSSES[name]
    return Case(network(mc.ReLU(), outputs=loss.outputs(CLASSES)), loss, target)


RULES: dict[str, dict[str, Any]] = {
    "l2": {"l2": 0.1},
    "clip_value": {"clip_value": 0.3},
    "clip_norm": {"clip_norm": 0.5},
    "ema": {"ema": 0.9},
    "all rules": {"l2": 0.1, "clip_value": 0.3, "clip_norm": 0.5, "ema": 0.9},
}
CASES: dict[str, Case] = {
    **{f"workload {one.name}": _of_workload(one) for one in WORKLOADS},
    "784-256-128-10": _of_workload(Workload("", 128, (784, 256, 128, 10), steps=1)),
    **{f"layer {name}": Case(network(make(4))) for name, make in members.LAYERS.items()},
    **{f"loss {name}": _of_loss(name) for name in members.LOSSES},
    **{f"optimizer {name}": Case(network(mc.ReLU()), optimizer=one) for name, one in members.OPTIMIZERS.items()},
    **{f"schedule {name}": Case(network(mc.ReLU()), optimizer=mc.SGD(one)) for name, one in members.SCHEDULES.items()},
    **{name: Case(network(mc.ReLU()), optimizer=mc.AdamW(), words=words) for name, words in RULES.items()},
    **{name: Case(network(mc.ReLU()), words={"precision": name}) for name in ("tf32", "bfloat16")},
}


def dtypes(case: Case) -> tuple[str, ...]:
    """Those that the case can be trained in."""
    return ("float32",) if "precision" in case.words else ("float32", "float64")


def rows_of(case: Case, rows: int) -> tuple[np.ndarray, np.ndarray]:
    """Rows and targets to train on."""
    stream = Stream(1)
    return stream.normal((rows, case.columns)), draw_targets(stream, rows, case.classes)[case.target]


def programs(case: Case, dtype: str, compile: str = "auto") -> tuple[list[Printed], list[Printed]]:
    """What is printed for a fit, whose last batch is ragged, and for predictions of as many rows."""
    made: list[Printed] = []
    rows = 2 * case.batch + case.batch // 2
    x, target = rows_of(case, rows)
    words = {"backend": printing(made), "dtype": dtype, "compile": compile, **case.words}
    model = mc.Model(case.net, case.loss, case.optimizer, **words)
    model.fit(x, target, epochs=1, batch_size=case.batch, sample_weight=0.5 + Stream(2).uniform((rows,)))
    steps = len(made)
    model.predict(x)
    return made[:steps], made[steps:]
