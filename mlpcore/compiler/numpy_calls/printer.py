"""Prints a schedule as the text of a Python function of NumPy calls."""

import math
from itertools import groupby

import numpy as np

from mlpcore.compiler.graph import Node
from mlpcore.compiler.numpy_calls.functions import array_calls, scalar_expression
from mlpcore.compiler.numpy_calls.groups import Group, is_scalar
from mlpcore.compiler.numpy_calls.names import Tile, axis_slice
from mlpcore.compiler.numpy_calls.reductions import ReductionPrinter

SMALL = 4096  # up to this many entries two copies are faster than ``where`` and a copy


class NumpyPrinter(ReductionPrinter):
    """Prints a schedule; ``scope`` then holds the objects that its names stand for."""

    def text(self) -> str:
        """The text of the function ``step``."""
        for condition, members in groupby(self.memory.order, key=lambda group: group.condition):
            self._branch(condition, list(members))
        for new in self.memory.old:
            if not self.memory.keeps_old(new):
                self._copy_to_state(new)
        return "\n".join(["def step():", *(f"    {line}" for line in self.lines or ["pass"])]) + "\n"

    def _branch(self, condition: Node | None, members: list[Group]) -> None:
        """Print the groups of a condition as a branch, at whose end new state is copied to the old."""
        before, self.lines = self.lines, []
        for group in members:
            self._group(group)
        choices = [node for group in members for node in group.nodes if self.memory.is_branch(node)]
        for node in filter(self.memory.keeps_old, choices):
            self._copy_to_state(node)
        body, self.lines = self.lines, []
        for node in choices:
            in_place = self.memory.keeps_old(node) and self.memory.owner_of(node)[0] is self.memory.old[node]
            if not in_place:
                self._choose(node, 2)
        otherwise, self.lines = self.lines, before
        if condition is None:
            self.lines += body
            return
        self.lines += [f"if v{condition.number}:", *(f"    {line}" for line in body or ["pass"])]
        if otherwise:
            self.lines += ["else:", *(f"    {line}" for line in otherwise)]

    def _group(self, group: Group) -> None:
        """The lines of a group, in a loop over tiles if it has some."""
        rows = self.memory.layout.tile_rows(group)
        if group.loop is None or rows is None:
            for node in group.nodes:
                self._node(node)
            return
        stop = self.memory.layout.dims(group.loop.axes)[0]
        self.tiles = [(start, min(start + rows, stop)) for start in range(0, stop, rows)]
        before, self.lines, self.tiled = self.lines, [], {}
        in_tiles = [node for node in group.nodes if self.memory.layout.in_tiles(group, node)]
        for node in in_tiles:
            self._node(node)
        body, self.lines, self.tiles = self.lines, before, []
        if body:
            tiles = self.named("tiles", list(zip(*self.tiled.values(), strict=True)))
            self.lines += [f"for {', '.join(self.tiled)}, in {tiles}:", *(f"    {line}" for line in body)]
        for node in filter(group.late, in_tiles):
            self.join_tiles(node)
        for node in group.nodes:
            if node not in in_tiles:
                self._node(node)

    def _node(self, node: Node) -> None:
        if self.memory.is_branch(node):
            self._choose(node, 1)
        elif node.name == "rows":
            self.set_scalar(node, f"{node.dtype}({self.memory.layout.rows})")
        elif node.kind == "elementwise" and is_scalar(node):
            self.set_scalar(node, scalar_expression(node, [self.value(node, i) for i in range(len(node.inputs))]))
        elif node.kind == "elementwise":
            self._elementwise(node)
        elif node.kind == "reduce":
            self.reduction(node)
        elif node.kind == "concat":
            self._concatenation(node)
        else:
            operands = f"{self.operand(node, 0)}, {self.operand(node, 1)}"
            if node.kind == "draw":
                self.emit(f"draw_factors({self.result(node)}, {operands})")
            elif node.kind == "take":
                axis = dict(node.attributes)["axis"]
                self.emit(f'take({operands}, {axis}, {self.result(node)}, "clip")')
            else:
                # With a factor of one entry, 0, dot returns 0 even where the other has NaN or infinities.
                single = any(math.prod(self.memory.layout.dims(operand.shape)) == 1 for operand in node.inputs)
                function = "dot" if node.ndim == 2 and not single else "matmul"
                self.emit(f"{function}({operands}, {self.result(node)})")

    def _elementwise(self, node: Node) -> None:
        operands = [self.operand(node, i) for i in range(len(node.inputs))]
        if node.name in ("maximum", "minimum"):
            for i, operand in enumerate(node.inputs):
                if self.schedule.source(node, operand).root.name == "number":
                    operands[i] = self._repeated(node, i)
        if node.name == "where" and self._in_two_copies(node):
            self.emit(f"copyto({self.result(node)}, {operands[2]})")
            self.emit(f'copyto({self.result(node)}, {operands[1]}, "same_kind", {operands[0]})')
        else:
            self.lines += array_calls(node, operands, self.result(node))

    def _in_two_copies(self, node: Node) -> bool:
        """Whether two copies are faster than ``where``, and the first overwrites nothing that the second reads."""
        if self.tiles or (result := self.memory.result(node)).size > SMALL:
            return False
        read = [(self.schedule.source(node, operand), operand.shape) for operand in node.inputs[:2]]
        arrays = [self.memory.view(place, shape) for place, shape in read if not is_scalar(place.root)]
        return not any(np.may_share_memory(result, array) for array in arrays)

    def _repeated(self, node: Node, position: int) -> str:
        """A constant as an array like the result: NumPy has no vector loop for maximum of an array and a number."""
        place, axis = self.schedule.source(node, node.inputs[position]), self.axis(node, node)
        value = self.memory.arrays[place.root][()]

        def view(tile: Tile | None) -> np.ndarray:
            return self.filled(value, self.memory.result(node, axis_slice(axis, tile)))

        return self.bind(node.inputs[position].number, view)

    def _choose(self, node: Node, side: int) -> None:
        """Copy operand ``side`` (1 or 2) of a choice to the result, unless it is computed there."""
        if is_scalar(node):
            self.set_scalar(node, self.value(node, side))
        elif self.memory.placed.get(self.schedule.source(node, node.inputs[side]).root, (None,))[0] is not node:
            self.emit(f"copyto({self.result(node)}, {self.operand(node, side)})")

    def _copy_to_state(self, new: Node) -> None:
        """Copy new state to the array of the old, unless it is computed there."""
        old = self.memory.old[new]
        target = self.memory.arrays[old].reshape(self.memory.layout.dims(old.shape))
        if is_scalar(new):
            self.emit(f"{self.named(f'a{old.number}', target)}[...] = v{new.number}")
        elif self.memory.owner_of(new)[0] is not old:
            self.emit(f"copyto({self.named(f'a{old.number}', target)}, {self.result(new)})")

    def _concatenation(self, node: Node) -> None:
        """Copies of the operands that are not computed in the result's memory; constants are copied now, once."""
        axis, start, result = dict(node.attributes)["axis"], 0, self.memory.result(node)
        for i, operand in enumerate(node.inputs):
            place = self.places[operand]
            stop = start + self.memory.layout.dims(operand.shape)[axis]
            target = result[(*[slice(None)] * axis, slice(start, stop))]
            if place.root.kind == "constant":
                target[...] = self.memory.view(place, operand.shape)
            elif not self.memory.is_part(node, operand, start):
                self.emit(f"copyto({self.named(f'a{node.number}', target)}, {self.operand(node, i)})")
            start = stop
