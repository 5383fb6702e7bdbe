"""Programs of several members in the same launches: each has what its program alone computes."""

import importlib
import warnings
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import cuda_host
import numpy as np
import pytest
from devices import gpu, open_place
from graphs import random_graph

from mlpcore.backends.cupy.device import printed_device
from mlpcore.compiler.cuda.bound import BoundDeviceProgram
from mlpcore.compiler.cuda.device import Device
from mlpcore.compiler.cuda.memory import to_next
from mlpcore.compiler.cuda.program import DeviceProgram
from mlpcore.compiler.draws import TracedStream
from mlpcore.compiler.graph import N
from mlpcore.compiler.trace import Tracer
from mlpcore.namespace import namespace
from mlpcore.random import Stream

MEMBERS = 3


@pytest.fixture(params=[pytest.param("host", marks=cuda_host.needed), gpu("cupy")])
def device(request: pytest.FixtureRequest) -> Any:
    """A device that multiplies one matrix after the other, as a product of several may round differently."""
    if request.param == "host":
        yield one_matrix_at_a_time(cuda_host.device(backwards=True))
        return
    backend = open_place("cupy")
    with backend.scope("float64"):
        yield one_matrix_at_a_time(printed_device(importlib.import_module("cupy")))


def one_matrix_at_a_time(device: Device) -> Device:
    """The device with products of single matrices."""

    def product(a: Any, b: Any, out: Any, precision: str) -> Callable[[], None]:
        xp, outer = namespace(out), out.shape[:-2]
        a, b = (xp.broadcast_to(x, (*outer, *x.shape[-2:])) for x in (a, b))
        products = [device.product(a[i], b[i], out[i], precision) for i in np.ndindex(outer)]
        return lambda: [run() for run in products] and None

    return replace(device, product=product)


def read(device: Device, array: Any) -> np.ndarray:
    """The array on the host."""
    return device.read(array.reshape(-1))[0].reshape(array.shape)


@pytest.mark.parametrize("first", range(0, 100, 20))
def test_random_graphs(first: int, device: Device) -> None:
    """Twenty in a program, with other entries for each member, some arrays shared, some overwritten."""
    rows = (3, 40, 1, 17, 5)[first // 20]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)
        drawn = [random_graph(seed, rows) for seed in range(first, first + 20)]
    tracer, outputs, pairs, inputs, arrays = Tracer(), [], [], [], []
    for graph in drawn:
        own = [tracer.input(shape, array.dtype) for shape, array in zip(graph.shapes, graph.arrays, strict=True)]
        values = graph.run(tracer, own)
        inputs += own
        arrays += [np.ascontiguousarray(array).reshape(-1) for array in graph.arrays]
        outputs += [values[i] for i in graph.outputs]
        pairs += [(values[new], values[old]) for new, old in graph.replaced]
    program = DeviceProgram(tracer, outputs, pairs)
    overwritten = {old.node for _, old in pairs}

    def results(members: Sequence[int]) -> list[np.ndarray]:
        given = {}
        for i, (one, array) in enumerate(zip(inputs, arrays, strict=True)):
            shared = i % 3 == 0 and one.node not in overwritten
            own = [array if shared else np.roll(array, member) for member in members]
            given[one.node] = device.put(own[0].copy() if shared or len(members) == 1 else np.stack(own))
        bound = BoundDeviceProgram(program, rows, given, device, (), [program] * len(members))
        with np.errstate(invalid="ignore"):
            bound.call()
        found = [read(device, bound.output(output.node)) for output in outputs]
        return [*found, *(read(device, given[old.node]) for _, old in pairs)]

    together = results(range(MEMBERS))
    for member in range(MEMBERS):
        for found, right in zip(together, results([member]), strict=True):
            np.testing.assert_array_equal(found[member].reshape(-1), right.reshape(-1))


def parts(tracer: Tracer, number: int, rows: Any = N) -> tuple[list[Any], list[Any]]:
    """The inputs and outputs of a function with numbers, constant arrays and draws of a member."""
    x, y = tracer.input((rows, 6), "float32"), tracer.input((rows,), "float32")
    position = tracer.input((2,), "uint64")
    constant = tracer.asarray(np.arange(6, dtype="float32") + number)
    mask = TracedStream(Stream(number, "mask"), position).factors((rows, 6), 0.5 + 0.1 * number, "float32")
    shifted = x * (1.5 + number) + constant
    sums = tracer.sum(shifted * mask, axis=0)
    scalar = tracer.sum(tracer.maximum(y, 0.25 * number))
    joined = tracer.concat([sums / scalar, constant], axis=0)
    stack = tracer.reshape(tracer.concat([shifted, mask], axis=0), (2, rows, 6)) if rows is not N else shifted
    product = tracer.matmul(stack, tracer.reshape(tracer.asarray(np.eye(6, dtype="float32") * number), (6, 6)))
    return [x, y, position], [joined, product, mask, scalar * (3.0 + number)]


@pytest.mark.parametrize("rows", [1, 7, 600])
@pytest.mark.parametrize("symbolic", [True, False])
def test_numbers_constants_and_draws_of_each_member(rows: int, symbolic: bool, device: Device) -> None:
    made = []
    for number in range(1, MEMBERS + 1):
        tracer = Tracer()
        inputs, outputs = parts(tracer, number, N if symbolic else rows)
        made.append((DeviceProgram(tracer, outputs), inputs, outputs))
    assert len({program.signature for program, _, _ in made}) == 1 == len({program.source for program, _, _ in made})
    draws = np.random.default_rng(0)
    x = draws.normal(size=(MEMBERS, rows * 6)).astype("float32")
    y = draws.normal(size=rows).astype("float32")
    steps = np.stack([np.arange(MEMBERS), 5 * np.arange(MEMBERS)], axis=1).astype(np.uint64)  # and first rows
    program, inputs, outputs = made[0]
    given = dict(zip([one.node for one in inputs], map(device.put, (x, y, steps)), strict=True))
    together = BoundDeviceProgram(program, rows, given, device, (), [one for one, _, _ in made])
    together.call()
    for i, (program, own_inputs, own_outputs) in enumerate(made):
        arrays = map(device.put, (x[i], y, steps[i]))
        alone = BoundDeviceProgram(
            program, rows, dict(zip([one.node for one in own_inputs], arrays, strict=True)), device
        )
        alone.call()
        assert alone.launches == together.launches
        for output, own in zip(outputs, own_outputs, strict=True):
            found, right = read(device, together.output(output.node))[i], read(device, alone.output(own.node))
            np.testing.assert_array_equal(found, right)


def test_programs_that_differ_in_more_than_values_have_other_signatures() -> None:
    def signature(function: Any, shape: tuple = (N, 4)) -> str:
        tracer = Tracer()
        return DeviceProgram(tracer, [function(tracer, tracer.input(shape, "float32"))]).signature

    same = [signature(lambda xp, x, c=c: x * c + xp.asarray(np.full(4, c, "float32"))) for c in (0.0, 1.0, np.nan)]
    assert len(set(same)) == 1
    others = {
        signature(lambda xp, x: x * 2.0),
        signature(lambda xp, x: x / 2.0),
        signature(lambda xp, x: x * 2.0, (N, 5)),
        signature(lambda xp, x: x * 2.0, (7, 4)),
        signature(lambda xp, x: xp.sum(x * 2.0, axis=0)),
        signature(lambda xp, x: xp.astype(xp.astype(x, "int32") * 2, "float32")),
        signature(lambda xp, x: xp.astype(xp.astype(x, "int32") * 3, "float32")),
    }
    assert len(others) == 7


def test_distances_between_members() -> None:
    table = np.zeros((3, 40), "float32")
    assert [to_next(one) for one in (table, table[:, 5:9], table[0], table[:1])] == [40, 40, 0, 0]
    assert to_next(table.view("uint8")[:, 8:16].view("float64")) == 20


def test_a_member_keeps_the_memory_of_a_program_alone() -> None:
    """Its entries lie at one distance from those of the next, in arrays of all members."""
    device = cuda_host.device()
    tracer = Tracer()
    inputs, outputs = parts(tracer, 1)
    program = DeviceProgram(tracer, outputs)
    given = {one.node: device.put(np.ones((MEMBERS, 60), one.dtype)) for one in inputs}
    bound = BoundDeviceProgram(program, 10, given, device, (), [program] * MEMBERS)
    own = [array for node, array in bound.memory.arrays.items() if node.kind not in ("input", "constant")]
    (distance,) = {array.strides[0] for array in own}
    assert distance % 64 == 0
