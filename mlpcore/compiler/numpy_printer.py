"""A schedule as the text of a Python function that consists of NumPy calls, and the arrays that stand in it."""

from collections.abc import Callable
from itertools import groupby
from typing import Any

import numpy as np

from mlpcore.compiler.graph import Node, long
from mlpcore.compiler.numpy_functions import BEGIN, REDUCTIONS, assignment, scope, single
from mlpcore.compiler.numpy_memory import Cut, Memory
from mlpcore.compiler.numpy_order import Group, is_choice, is_single

Make = Callable[[Any], np.ndarray]  # the array for a piece (first row, row behind the last), or for None all of it


class NumpyPrinter:
    """``lines`` are the body of the function; ``scope`` is what its names mean."""

    def __init__(self, memory: Memory) -> None:
        self.memory, self.schedule, self.places = memory, memory.schedule, memory.places
        self.scope: dict[str, Any] = scope()
        self.lines: list[str] = []
        self.pieces: list[tuple[int, int]] = []  # of the loop that is being printed, none for one that is done at once
        self.walked: dict[str, list[np.ndarray]] = {}  # what a name in its body means for every piece
        self.partial: dict[Node, np.ndarray] = {}  # reductions of every piece
        self.constant: dict[tuple, np.ndarray] = {}

    def text(self) -> str:
        """The whole function."""
        for condition, members in groupby(self.memory.order, key=lambda group: group.condition):
            self._under(condition, list(members))
        for new in self.memory.old:
            if not self.memory.stays(new):
                self._bring_home(new)
        return "\n".join(["def step():", *(f"    {line}" for line in self.lines or ["pass"])]) + "\n"

    def _under(self, condition: Node | None, members: list[Group]) -> None:
        """Groups and their condition: a branch, at whose end stand the choices."""
        before, self.lines = self.lines, []
        for group in members:
            self._group(group)
        choices = [node for group in members for node in group.nodes if self._is_choice(node)]
        for node in filter(self.memory.stays, choices):
            self._bring_home(node)
        body, self.lines = self.lines, []
        for node in choices:
            if not self.memory.stays(node):
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
        """The lines of a group; of one that is walked as a loop over its pieces."""
        length = self.memory.layout.length(group)
        if group.loop is None or length is None:
            for node in group.nodes:
                self._node(node)
            return
        rows = self.memory.layout.dims(group.loop.axes)[0]
        self.pieces = [(start, min(start + length, rows)) for start in range(0, rows, length)]
        before, self.lines, self.walked = self.lines, [], {}
        walked = [node for node in group.nodes if self.memory.layout.in_pieces(group, node)]
        for node in walked:
            self._node(node)
        body, self.lines, self.pieces = self.lines, before, []
        if body:
            name = _name(self.scope, "pieces", list(zip(*self.walked.values(), strict=True)))
            self.lines += [f"for {', '.join(self.walked)}, in {name}:", *(f"    {line}" for line in body)]
        for node in filter(group.late, walked):
            self._join_pieces(node)
        for node in group.nodes:
            if node not in walked:
                self._node(node)

    # --- names

    def _bind(self, label: str, make: Make, cut: bool = True) -> str:
        """A name for an array; in a walked loop for one array of every piece."""
        if not (self.pieces and cut):
            return _name(self.scope, label, make(None))
        return _name(self.walked, f"p{label}", [make(piece) for piece in self.pieces])

    def _axis(self, node: Node, one: Node) -> int | None:
        """The axis of an operand, or of the result, along which the loop is walked."""
        group = self.memory.group_of[node]
        if not self.pieces:
            return None
        axes = group.member(node).axes
        begin = len(axes) - one.ndim
        axis = axes.index(0) - begin
        return axis if axis >= 0 and long(one.shape[axis]) else None

    def _operand(self, node: Node, position: int, change: Callable = lambda array: array) -> str:
        """The name of an array that a node reads, or of what is made of it."""
        one = node.inputs[position]
        place, axis = self.schedule.source(node, one), self._axis(node, one)
        if node.kind == "elementwise" and is_single(place.root) and place.root.name != "rows":
            return f"v{place.root.number}"
        if place.root.name == "rows":
            rows = np.full((), self.memory.layout.rows, place.root.dtype)
            return self._bind(f"a{one.number}", lambda _: np.broadcast_to(rows, (1,) * one.ndim), False)

        def make(piece: Any) -> np.ndarray:
            return change(self.memory.view(place, one.shape, _cut(axis, piece)))

        return self._bind(f"a{one.number}", make, axis is not None)

    def _result(self, node: Node, change: Callable = lambda array: array) -> str:
        """The name of the array in which a node is computed."""
        axis = self._axis(node, node)
        if not self.pieces or not self.memory.group_of[node].late(node):
            return self._bind(f"a{node.number}", lambda piece: change(self.memory.result(node, _cut(axis, piece))))
        partial = np.empty((len(self.pieces), *self.memory.layout.dims(node.shape)), node.dtype)
        self.partial[node] = partial
        return self._bind(f"r{node.number}", lambda piece: change(partial[self.pieces.index(piece)]))

    # --- nodes

    def _node(self, node: Node) -> None:
        if self._is_choice(node):
            self._choose(node, 1)
        elif node.kind == "elementwise":
            if is_single(node):
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
        elif node.kind == "draw":
            arguments = ", ".join([self._result(node), *(self._operand(node, i) for i in range(2))])
            self._emit(f"draw_factors({arguments})")
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
        if is_single(place.root):
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
        for line in assignment(node, operands, self._result(node)):
            self._emit(line)

    def _repeated(self, node: Node, position: int) -> str:
        """A constant in the form of the result: NumPy has no vector loop for the extremes of an array and a number."""
        place, axis = self.schedule.source(node, node.inputs[position]), self._axis(node, node)
        value = self.memory.arrays[place.root]

        def make(piece: Any) -> np.ndarray:
            form = self.memory.result(node, _cut(axis, piece))
            key = (value[()], form.shape, form.strides, form.dtype)
            return self.constant.setdefault(key, np.full_like(form, value))

        return self._bind(f"c{place.root.number}", make)

    def _choose(self, node: Node, side: int) -> None:
        """One side of a choice, where it is not computed in the place of the choice anyway."""
        if is_single(node):
            self._set(node, self._value(node, side))
            return
        place = self.schedule.source(node, node.inputs[side])
        if self.memory.home.get(place.root, (None,))[0] is not node:
            self._emit(f"copyto({self._result(node)}, {self._operand(node, side)})")

    def _bring_home(self, new: Node) -> None:
        """New state into the array of the old, if it is not there."""
        old = self.memory.old[new]
        if is_single(new):
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
            if is_single(node):
                self._set(node, value or self._value(node, 0))
            else:
                self._emit(f"copyto({self._result(node)}, {value or self._operand(node, 0)})")
        elif 0 in dims:
            number = BEGIN[node.name] if node.dtype.kind == "f" else node.name in ("prod", "all")
            self._deliver(node, _name(self.scope, f"c{node.number}", node.dtype.type(number)))
        elif node.name == "argmax" and is_single(node):
            self._set(node, f"argmax({self._operand(node, 0)})")
        elif node.name == "argmax":
            kept = [i for i in range(one.ndim) if i not in axes]
            result = self._result(node, lambda array: array.reshape([array.shape[i] for i in kept]))
            self._emit(f"argmax({self._operand(node, 0)}, {axes[0]}, {result})")
        elif self._is_column_sum(node):
            matrix = [i for i, dim in enumerate(one.shape) if long(dim)]
            operand = self._operand(node, 0, lambda array: array.reshape([array.shape[i] for i in matrix]))
            ones = self._bind(
                "ones", lambda piece: np.ones(dims[matrix[0]] if piece is None else piece[1] - piece[0], node.dtype)
            )
            self._emit(f"dot({ones}, {operand}, {self._result(node, lambda array: array.reshape(-1))})")
        elif is_single(node) and not self.pieces:
            self._set(node, f"{REDUCTIONS[node.name]}.reduce({self._operand(node, 0)}, None)")
        else:
            self._emit(
                f"{REDUCTIONS[node.name]}.reduce({self._operand(node, 0)}, {axes}, None, {self._result(node)}, True)"
            )

    def _is_column_sum(self, node: Node) -> bool:
        """Whether this is a sum down the columns of a matrix of floats: a product with ones reads faster than a sum."""
        shape, axes = node.inputs[0].shape, dict(node.attributes)["axes"]
        matrix = [i for i, dim in enumerate(shape) if long(dim)]
        return (
            node.name == "sum"
            and node.dtype.kind == "f"
            and len(matrix) == 2
            and [a for a in matrix if a in axes] == matrix[:1]
        )

    def _join_pieces(self, node: Node) -> None:
        """The reduction of the reductions of all pieces."""
        partial = _name(self.scope, f"r{node.number}", self.partial[node])
        function = REDUCTIONS[node.name]
        if is_single(node):
            self._set(node, f"{function}.reduce({partial}, None)")
        else:
            self._emit(f"{function}.reduce({partial}, 0, None, {self._result(node)})")

    def _deliver(self, node: Node, value: str) -> None:
        if is_single(node):
            self._set(node, value)
        else:
            self._emit(f"copyto({self._result(node)}, {value})")

    def _product(self, node: Node) -> None:
        if node.ndim > 2:
            self._emit(f"matmul({self._operand(node, 0)}, {self._operand(node, 1)}, {self._result(node)})")
        elif node in self.memory.layout.turned:
            one, other = (self._operand(node, i, np.transpose) for i in (0, 1))
            self._emit(f"dot({other}, {one}, {self._result(node, np.transpose)})")
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


def _cut(axis: int | None, piece: tuple[int, int] | None) -> Cut | None:
    return None if axis is None or piece is None else (axis, *piece)


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
