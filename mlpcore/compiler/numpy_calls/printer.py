"""A schedule as the text of a Python function that consists of NumPy calls, and the arrays that stand in it."""

from collections.abc import Callable
from itertools import groupby
from typing import Any

import numpy as np

from mlpcore.compiler.graph import Node, long
from mlpcore.compiler.numpy_calls.functions import BEGIN, REDUCTIONS, assignment, scope, single
from mlpcore.compiler.numpy_calls.memory import AxisSlice, Memory
from mlpcore.compiler.numpy_calls.order import Group, is_choice, is_scalar

SMALL = 4096  # entries, up to which two copies are faster than a choice and a copy
Make = Callable[[Any], np.ndarray]  # the array for a tile (first row, row behind the last), or for None all of it


class NumpyPrinter:
    """``lines`` are the body of the function; ``scope`` is what its names mean."""

    def __init__(self, memory: Memory) -> None:
        self.memory, self.schedule, self.places = memory, memory.schedule, memory.places
        self.scope: dict[str, Any] = scope()
        self.lines: list[str] = []
        self.tiles: list[tuple[int, int]] = []  # of the loop that is being printed, none for one that is done at once
        self.tiled: dict[str, list[np.ndarray]] = {}  # what a name in its body means for every tile
        self.partial: dict[Node, np.ndarray] = {}  # reductions of every tile
        self.constant: dict[tuple, np.ndarray] = {}

    def text(self) -> str:
        """The whole function."""
        for condition, members in groupby(self.memory.order, key=lambda group: group.condition):
            self._under(condition, list(members))
        for new in self.memory.old:
            if not self.memory.keeps_old(new):
                self._bring_home(new)
        return "\n".join(["def step():", *(f"    {line}" for line in self.lines or ["pass"])]) + "\n"

    def _under(self, condition: Node | None, members: list[Group]) -> None:
        """Groups and their condition: a branch, at whose end stand the choices."""
        before, self.lines = self.lines, []
        for group in members:
            self._group(group)
        choices = [node for group in members for node in group.nodes if self._is_choice(node)]
        for node in filter(self.memory.keeps_old, choices):
            self._bring_home(node)
        body, self.lines = self.lines, []
        for node in choices:
            if not self.memory.keeps_old(node):
                self._choose(node, 2)
        otherwise, self.lines = self.lines, before
        if condition is None:
            self.lines += body
            return
        self.lines += [f"if v{condition.number}:", *(f"    {line}" for line in body or ["pass"])]
        if otherwise:
            self.lines += ["else:", *(f"    {line}" for line in otherwise)]

    def _is_choice(self, node: Node) -> bool:
        return self.memory.group_of[node].condition is not None and is_choice(self.schedule, node)

    def _group(self, group: Group) -> None:
        """The lines of a group; of one that is walked as a loop over its tiles."""
        length = self.memory.layout.tile_rows(group)
        if group.loop is None or length is None:
            for node in group.nodes:
                self._node(node)
            return
        rows = self.memory.layout.dims(group.loop.axes)[0]
        self.tiles = [(start, min(start + length, rows)) for start in range(0, rows, length)]
        before, self.lines, self.tiled = self.lines, [], {}
        walked = [node for node in group.nodes if self.memory.layout.in_tiles(group, node)]
        for node in walked:
            self._node(node)
        body, self.lines, self.tiles = self.lines, before, []
        if body:
            name = _name(self.scope, "tiles", list(zip(*self.tiled.values(), strict=True)))
            self.lines += [f"for {', '.join(self.tiled)}, in {name}:", *(f"    {line}" for line in body)]
        for node in filter(group.late, walked):
            self._join_pieces(node)
        for node in group.nodes:
            if node not in walked:
                self._node(node)

    # --- names

    def _bind(self, label: str, make: Make, rows: bool = True) -> str:
        """A name for an array; in a walked loop for one array of every tile."""
        if not (self.tiles and rows):
            return _name(self.scope, label, make(None))
        return _name(self.tiled, f"p{label}", [make(tile) for tile in self.tiles])

    def _axis(self, node: Node, one: Node) -> int | None:
        """The axis of an operand, or of the result, along which the loop is walked."""
        group = self.memory.group_of[node]
        if not self.tiles:
            return None
        axes = group.member(node).axes
        begin = len(axes) - one.ndim
        axis = axes.index(0) - begin
        return axis if axis >= 0 and long(one.shape[axis]) else None

    def _operand(self, node: Node, position: int, change: Callable = lambda array: array) -> str:
        """The name of an array that a node reads, or of what is made of it."""
        one = node.inputs[position]
        place, axis = self.schedule.source(node, one), self._axis(node, one)
        if node.kind == "elementwise" and is_scalar(place.root) and place.root.name != "rows":
            return f"v{place.root.number}"
        if place.root.name == "rows":
            rows = np.full((), self.memory.layout.rows, place.root.dtype)
            return self._bind(f"a{one.number}", lambda _: np.broadcast_to(rows, (1,) * one.ndim), False)

        def make(tile: Any) -> np.ndarray:
            return change(self.memory.view(place, one.shape, axis_slice(axis, tile)))

        return self._bind(f"a{one.number}", make, axis is not None)

    def _result(self, node: Node, change: Callable = lambda array: array) -> str:
        """The name of the array in which a node is computed."""
        axis = self._axis(node, node)
        if not self.tiles or not self.memory.group_of[node].late(node):
            return self._bind(f"a{node.number}", lambda tile: change(self.memory.result(node, axis_slice(axis, tile))))
        partial = np.empty((len(self.tiles), *self.memory.layout.dims(node.shape)), node.dtype)
        self.partial[node] = partial
        return self._bind(f"r{node.number}", lambda tile: change(partial[self.tiles.index(tile)]))

    # --- nodes

    def _node(self, node: Node) -> None:
        if self._is_choice(node):
            self._choose(node, 1)
        elif node.kind == "elementwise":
            if is_scalar(node):
                value = single(node, [self._value(node, i) for i in range(len(node.inputs))])
                self._set(node, value if node.name != "rows" else f"{node.dtype}({self.memory.layout.rows})")
            else:
                self._elementwise(node)
        elif node.kind == "reduce":
            self._reduction(node)
        elif node.kind == "matmul":
            self._product(node)
        elif node.kind == "concat":
            self._concatenation(node)
        else:
            axis = dict(node.attributes)["axis"]
            operands = f"{self._operand(node, 0)}, {self._operand(node, 1)}"
            self._emit(f'take({operands}, {axis}, {self._result(node)}, "clip")')

    def _emit(self, line: str) -> None:
        self.lines.append(line)

    def _set(self, node: Node, value: str) -> None:
        """A single number; also in memory, where somebody reads it there."""
        self._emit(f"v{node.number} = {value}")
        if self.memory.is_stored(node) and node not in self.memory.old:
            self._emit(f"{self._result(node)}[...] = v{node.number}")

    def _value(self, node: Node, position: int) -> str:
        """What a single number reads."""
        place = self.schedule.source(node, node.inputs[position])
        if is_scalar(place.root):
            return f"v{place.root.number}"
        entry = self.memory.view(place, node.inputs[position].shape).reshape(())
        if place.root.name == "number":
            return _name(self.scope, f"c{place.root.number}", entry[()])
        return f"{_name(self.scope, f'e{node.inputs[position].number}', entry)}[()]"

    def _elementwise(self, node: Node) -> None:
        operands = [self._operand(node, i) for i in range(len(node.inputs))]
        if node.name in ("maximum", "minimum"):
            for i, one in enumerate(node.inputs):
                if self.schedule.source(node, one).root.name == "number":
                    operands[i] = self._repeated(node, i)
        if node.name == "where" and (lines := self._masked(node, operands)):
            self.lines += lines
        else:
            self.lines += assignment(node, operands, self._result(node))

    def _masked(self, node: Node, operands: list[str]) -> list[str]:
        """A choice entry by entry as two copies, which is faster for small arrays; none where the first would spoil what
        the second reads."""
        if self.tiles:
            return []
        result = self.memory.result(node)
        read = [(self.schedule.source(node, one), one.shape) for one in node.inputs[:2]]
        arrays = [self.memory.view(*what) for what in read if not is_scalar(what[0].root)]
        if result.size > SMALL or any(np.may_share_memory(result, array) for array in arrays):
            return []
        out = self._result(node)
        return [f"copyto({out}, {operands[2]})", f'copyto({out}, {operands[1]}, "same_kind", {operands[0]})']

    def _repeated(self, node: Node, position: int) -> str:
        """A constant in the form of the result: NumPy has no vector loop for the extremes of an array and a number."""
        place, axis = self.schedule.source(node, node.inputs[position]), self._axis(node, node)
        value = self.memory.arrays[place.root]

        def make(tile: Any) -> np.ndarray:
            form = self.memory.result(node, axis_slice(axis, tile))
            key = (value[()], form.shape, form.strides, form.dtype)
            return self.constant.setdefault(key, np.full_like(form, value))

        return self._bind(f"c{place.root.number}", make)

    def _choose(self, node: Node, side: int) -> None:
        """One side of a choice, where it is not computed in the place of the choice anyway."""
        if is_scalar(node):
            self._set(node, self._value(node, side))
            return
        place = self.schedule.source(node, node.inputs[side])
        if self.memory.home.get(place.root, (None,))[0] is not node:
            self._emit(f"copyto({self._result(node)}, {self._operand(node, side)})")

    def _bring_home(self, new: Node) -> None:
        """New state into the array of the old, if it is not there."""
        old = self.memory.old[new]
        if is_scalar(new):
            self._emit(f"{_name(self.scope, f'a{old.number}', self.memory.arrays[old])}[...] = v{new.number}")
        elif self.memory.whole(new)[0] is not old:
            target = self.memory.arrays[old].reshape(self.memory.layout.dims(old.shape))
            self._emit(f"copyto({_name(self.scope, f'a{old.number}', target)}, {self._result(new)})")

    # --- reductions, products, concatenations

    def _reduction(self, node: Node) -> None:
        axes, late = dict(node.attributes)["axes"], self.memory.group_of[node].late(node)
        (one,) = node.inputs
        dims = self.memory.layout.dims(one.shape)
        if not late and all(not long(one.shape[axis]) for axis in axes):  # the entries themselves
            value = f"{node.dtype}(0)" if node.name == "argmax" else None
            if is_scalar(node):
                self._set(node, value or self._value(node, 0))
            else:
                self._emit(f"copyto({self._result(node)}, {value or self._operand(node, 0)})")
        elif 0 in dims:
            number = BEGIN[node.name] if node.dtype.kind == "f" else node.name in ("prod", "all")
            self._deliver(node, _name(self.scope, f"c{node.number}", node.dtype.type(number)))
        elif node.name == "argmax" and is_scalar(node):
            self._set(node, f"argmax({self._operand(node, 0)})")
        elif node.name == "argmax":
            kept = [i for i in range(one.ndim) if i not in axes]
            result = self._result(node, lambda array: array.reshape([array.shape[i] for i in kept]))
            self._emit(f"argmax({self._operand(node, 0)}, {axes[0]}, {result})")
        elif (kept := self._kept_of_matrix(node)) is not None:
            self._sum_of_matrix(node, kept)
        elif is_scalar(node) and not self.tiles:
            self._set(node, self._total(node))
        else:
            words = f"{axes if len(axes) > 1 else axes[0]}, None, {self._result(node)}, True"
            self._emit(f"{REDUCTIONS[node.name]}.reduce({self._operand(node, 0)}, {words})")

    def _kept_of_matrix(self, node: Node) -> int | None:
        """Which of the two axes of a matrix of floats a sum keeps, for that is a product with ones and faster so."""
        reduced = dict(node.attributes)["axes"]
        kept = [axis not in reduced for axis, dim in enumerate(node.inputs[0].shape) if long(dim)]
        found = node.name == "sum" and node.dtype.kind == "f" and len(kept) == 2 and sum(kept) == 1
        return kept.index(True) if found else None

    def _sum_of_matrix(self, node: Node, kept: int) -> None:
        matrix = [axis for axis, dim in enumerate(node.inputs[0].shape) if long(dim)]
        place, walked = self.schedule.source(node, node.inputs[0]), self._axis(node, node.inputs[0])

        def ones(tile: Any) -> np.ndarray:
            dims = self.memory.view(place, node.inputs[0].shape, axis_slice(walked, tile)).shape
            return self.constant.setdefault(
                ("ones", dims[matrix[1 - kept]], node.dtype), np.ones(dims[matrix[1 - kept]], node.dtype)
            )

        factors = [self._operand(node, 0, lambda array: array.reshape([array.shape[axis] for axis in matrix]))]
        factors.insert(1 - kept, self._bind("ones", ones, walked is not None))
        self._emit(f"dot({', '.join(factors)}, {self._result(node, lambda array: array.reshape(-1))})")

    def _total(self, node: Node) -> str:
        """The reduction of all entries to one; a sum of floats that lie in a row as a product with ones."""
        array = self.memory.view(self.schedule.source(node, node.inputs[0]), node.inputs[0].shape)
        if node.name == "sum" and node.dtype.kind == "f" and array.flags.forc:
            ones = _name(self.scope, "ones", np.ones(array.size, node.dtype))
            return f"dot({ones}, {self._operand(node, 0, lambda array: array.reshape(-1, order='A'))})"
        return f"{REDUCTIONS[node.name]}.reduce({self._operand(node, 0)}, None)"

    def _join_pieces(self, node: Node) -> None:
        """The reduction of the reductions of all tiles."""
        partial = _name(self.scope, f"r{node.number}", self.partial[node])
        function = REDUCTIONS[node.name]
        if is_scalar(node):
            self._set(node, f"{function}.reduce({partial}, None)")
        else:
            self._emit(f"{function}.reduce({partial}, 0, None, {self._result(node)})")

    def _deliver(self, node: Node, value: str) -> None:
        if is_scalar(node):
            self._set(node, value)
        else:
            self._emit(f"copyto({self._result(node)}, {value})")

    def _product(self, node: Node) -> None:
        if node.ndim > 2:
            self._emit(f"matmul({self._operand(node, 0)}, {self._operand(node, 1)}, {self._result(node)})")
        else:
            self._emit(f"dot({self._operand(node, 0)}, {self._operand(node, 1)}, {self._result(node)})")

    def _concatenation(self, node: Node) -> None:
        """Copies of the parts that are not made in their place; those that never change are put there once."""
        axis, begin, whole = dict(node.attributes)["axis"], 0, self.memory.result(node)
        for i, part in enumerate(node.inputs):
            place = self.places[part]
            stop = begin + self.memory.layout.dims(part.shape)[axis]
            spot = whole[(*[slice(None)] * axis, slice(begin, stop))]
            if place.root.kind == "constant":
                spot[...] = self.memory.view(place, part.shape)
            elif not self.memory.is_part(node, part, begin):
                self._emit(f"copyto({_name(self.scope, f'a{node.number}', spot)}, {self._operand(node, i)})")
            begin = stop


def axis_slice(axis: int | None, tile: tuple[int, int] | None) -> AxisSlice | None:
    return None if axis is None or tile is None else (axis, *tile)


def _name(names: dict[str, Any], label: str, meaning: Any) -> str:
    """The label, with a number behind it where it means something else already."""
    name, count = label, 1
    while name in names and not _same(names[name], meaning):
        name, count = f"{label}_{count}", count + 1
    names[name] = meaning
    return name


def _same(one: Any, other: Any) -> bool:
    """Whether two arrays, or two lists of arrays, are the same entries in the same form."""
    if isinstance(one, (list, tuple)):
        return len(one) == len(other) and all(map(_same, one, other))
    if not isinstance(one, np.ndarray) or not isinstance(other, np.ndarray):
        return bool(one == other) and type(one) is type(other)
    a, b = one.__array_interface__, other.__array_interface__
    return (
        one.dtype == other.dtype
        and one.shape == other.shape
        and one.strides == other.strides
        and a["data"] == b["data"]
    )
