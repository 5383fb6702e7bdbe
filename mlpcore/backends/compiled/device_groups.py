"""Networks that train on a device as one: their chunks of steps are the same launches, whatever their number."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from mlpcore.backends.calls import Call, Calls, SideBySide, side_by_side
from mlpcore.backends.compiled.captured_steps import Captures, Varying
from mlpcore.backends.compiled.noise import HostNoise, TracedNoise
from mlpcore.backends.compiled.steps import ROW_COUNTS
from mlpcore.backends.run import Data, finite_weights
from mlpcore.backends.state_lock import writing_all
from mlpcore.compiler.cuda.bound import BoundDeviceProgram, bind
from mlpcore.compiler.cuda.device import Device
from mlpcore.compiler.function import TracedFunction
from mlpcore.compiler.graph import Node
from mlpcore.namespace import namespace
from mlpcore.signals import signals_wait
from mlpcore.trees import leaves, tree_map
from mlpcore.typing import Array, State

GROUPS = 4  # groups of a fit that are kept
MOST = 65535  # members of a launch


@dataclass(eq=False)
class DeviceChunk:
    """A call that runs a chunk of steps of a network; `DeviceGroups` runs those of several networks as one.

    ``state`` is that before the first step. After ``done`` steps it is in arrays of the group, which the next steps
    overwrite. ``losses`` are those of the steps. What a trainer reads after a chunk is read for several networks at
    once, and then in ``read``: losses, ``skipped``, `finite_weights`, ``count`` and ``scale``.
    """

    network: Any  # the `DeviceSteps`
    traced: TracedFunction
    state: State
    data: Data
    order: np.ndarray
    source: TracedNoise | HostNoise
    done: int = 0
    losses: Any = None
    read: tuple[np.ndarray, ...] = ()

    def __call__(self) -> None:
        """Run the steps of this network alone."""
        if self.network.group is None:
            self.network.group = DeviceGroup(self.network.device, [self])
        self.network.group.run([self])

    @property
    def kind(self) -> tuple:
        """Equal for chunks that can run as one."""
        return self.traced.program.signature, self.order.shape, *((x.shape, str(x.dtype)) for x in self.data)


class DeviceGroup:
    """The states of some networks, stacked leaf by leaf, and the programs that run all of them with each launch.

    ``stacked`` is a state whose leaves are (members, entries); ``states`` are views of it, one for each member. So a
    state that a chunk returns is in place for the next chunk.
    """

    def __init__(self, device: Device, chunks: Sequence[DeviceChunk]) -> None:
        self.device, self.members = device, len(chunks)
        first = chunks[0].state
        self.stacked = tree_map(lambda leaf: self._empty(leaf.size, leaf.dtype), first)
        self.states: list[State] = [
            tree_map(lambda stack, leaf, i=i: stack[i].reshape(leaf.shape), self.stacked, first)
            for i in range(self.members)
        ]
        self.bound: dict[tuple, BoundDeviceProgram] = {}
        self.captures = Captures(device)
        self.data: dict[int, Array] = {}  # stacks of the members' own arrays, which a fit does not change, by position

    def run(self, chunks: Sequence[DeviceChunk]) -> None:
        """Run chunks of the same kind, one for each member, in the order of the members.

        A signal waits for their end: its error would leave a step half launched, or launched and not counted.
        """
        with writing_all(chunk.network.lock for chunk in chunks), signals_wait():
            self._run(chunks)

    def _run(self, chunks: Sequence[DeviceChunk]) -> None:
        self._load([chunk.state for chunk in chunks])
        for chunk, state in zip(chunks, self.states, strict=True):
            chunk.state = state
        bound = self._bound(chunks)
        first = chunks[0]
        (_, nodes, numbers, drawn), result = first.traced.inputs, first.traced.result
        steps, rows = first.order.shape
        put = self.device.put
        moved = {node: self._data(i, [chunk.data[i] for chunk in chunks]) for i, node in enumerate(nodes)}
        row_numbers = put(_joined([chunk.order for chunk in chunks], np.int64))
        columns = zip(*(chunk.source.stacks(range(steps))[1] for chunk in chunks), strict=True)
        varying = [Varying(numbers, row_numbers, rows)]
        varying += [Varying(node, put(_joined(column)), column[0][0].size)
                    for node, column in zip(leaves(drawn), columns, strict=True)]  # fmt: skip
        count = max(1, int(np.prod(result.shape, dtype=int)))
        losses, written_in_place = self._empty(steps * count, result.dtype), first.traced.program.makes(result)
        varying.append(Varying(result, losses, count, written=True))

        def step(arrays: dict[Node, Array]) -> None:
            bound.call(moved | arrays)
            if not written_in_place:
                self.device.copy(bound.output(result).reshape(arrays[result].shape), arrays[result])

        first_step, capturing = 0, all(chunk.network.compilation.captures for chunk in chunks)
        while first_step < steps:
            captured = self.captures.find(bound, moved, varying, step, steps - first_step) if capturing else None
            if captured is None:
                step({one.key: one.at(first_step) for one in varying})
            else:
                captured.run(varying, first_step)
            first_step += 1 if captured is None else captured.count
            for chunk in chunks:
                chunk.done = first_step
        self._finish(chunks, losses, (steps, *result.shape))

    def _finish(self, chunks: Sequence[DeviceChunk], losses: Array, shape: tuple[int, ...]) -> None:
        """Hand each chunk its losses; those of several are read at once, with what is checked after a chunk."""
        if len(chunks) == 1:
            chunks[0].losses = losses.reshape(shape)
            return
        state = self.stacked
        read = state.skipped, finite_weights(state), state.count, state.scale
        numbers = (leaf.reshape(-1) for leaf in read)
        parts = self.device.read(losses, *numbers)
        for chunk, *own in zip(chunks, *parts, strict=True):
            chunk.losses = own[0].reshape(shape)
            chunk.read = (chunk.losses, *own[1:])

    def _empty(self, count: int, dtype: Any) -> Array:
        return self.device.empty(self.members * count, dtype).reshape(self.members, count)

    def _load(self, states: Sequence[State]) -> None:
        """Copy the leaves that are not views of this group: of new members, and where a caller changed a state."""
        if all(state is own for state, own in zip(states, self.states, strict=True)):
            return
        columns = zip(*map(leaves, states), strict=True)
        own = zip(*map(leaves, self.states), strict=True)
        for stack, column, views in zip(leaves(self.stacked), columns, own, strict=True):
            if any(leaf is not view for leaf, view in zip(column, views, strict=True)):
                self.device.copy(_stacked(column), stack)

    def _data(self, position: int, arrays: Sequence[Array]) -> Array:
        """An array of the data as the programs take it: a vector if the members share it, else their stack."""
        if all(array is arrays[0] for array in arrays):
            return arrays[0].reshape(-1)
        if position not in self.data:
            self.data[position] = _stacked(arrays)
        return self.data[position]

    def _bound(self, chunks: Sequence[DeviceChunk]) -> BoundDeviceProgram:
        traced, rows = chunks[0].traced, chunks[0].order.shape[1]
        key = (*(chunk.traced for chunk in chunks), rows)
        if key not in self.bound:
            if len(self.bound) >= ROW_COUNTS:
                del self.bound[next(iter(self.bound))]
            state, data, numbers, drawn = traced.inputs
            inputs = dict(zip(leaves(state), leaves(self.stacked), strict=True))
            moving = [*leaves(data), numbers, *leaves(drawn), *filter(traced.program.makes, [traced.result])]
            programs = [chunk.traced.program for chunk in chunks]
            self.bound[key] = bind(traced.program, rows, inputs, self.device, moving, programs)
        return self.bound[key]


class DeviceGroups:
    """The groups of the networks that a fit trains side by side."""

    def __init__(self, device: Device) -> None:
        self.device = device
        self.groups: dict[tuple, DeviceGroup] = {}  # by their networks; the last used is the last

    def run_together(self, calls: Sequence[Call]) -> list[Exception | None]:
        """Do the calls of all networks that still train: chunks of the same kind as one, one group after the other."""
        training = {call.network for call in calls if isinstance(call, DeviceChunk)}
        self.groups = {networks: group for networks, group in self.groups.items() if training.issuperset(networks)}
        kinds: dict[Any, list[int]] = {}
        for i, call in enumerate(calls):
            kinds.setdefault(call.kind if isinstance(call, DeviceChunk) else i, []).append(i)
        errors: list[Exception | None] = [None] * len(calls)
        for numbers in kinds.values():
            for some in (numbers[start : start + MOST] for start in range(0, len(numbers), MOST)):
                try:
                    self._run([calls[i] for i in some])
                except Exception as error:
                    for i in some:
                        errors[i] = error
        return errors

    def _run(self, calls: Sequence[Any]) -> None:
        if len(calls) == 1:
            calls[0]()
            return
        networks = tuple(call.network for call in calls)
        group = self.groups.pop(networks, None)
        if group is None:
            while len(self.groups) >= GROUPS:
                del self.groups[next(iter(self.groups))]
            group = DeviceGroup(self.device, calls)
        self.groups[networks] = group
        group.run(calls)


def run_as_one(device: Device) -> SideBySide:
    """`Compilers.side_by_side` of a device: networks whose chunks are of the same kind run as one."""

    def run(works: Sequence[Calls[Any]]) -> list[Any]:
        # In this thread: launches are Python code, and the current device and stream are those of a thread.
        return side_by_side(works, DeviceGroups(device).run_together, threaded=False)

    return run


def _stacked(arrays: Sequence[Array]) -> Array:
    """Arrays of one shape as the rows (members, entries) of a matrix; a single one is not copied."""
    rows = [array.reshape(-1) for array in arrays]
    return rows[0].reshape(1, -1) if len(rows) == 1 else namespace(rows[0]).stack(rows)


def _joined(arrays: Sequence[np.ndarray], dtype: Any = None) -> np.ndarray:
    """Host arrays of one shape as the rows (members, entries) of a matrix."""
    return np.ascontiguousarray(np.stack(arrays).reshape(len(arrays), -1), dtype)
