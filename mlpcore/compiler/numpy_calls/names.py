"""The names of arrays and numbers in the text of NumPy calls."""

from collections.abc import Callable
from typing import Any

import numpy as np

from mlpcore.compiler.graph import Node, long
from mlpcore.compiler.numpy_calls.functions import scope
from mlpcore.compiler.numpy_calls.groups import is_scalar
from mlpcore.compiler.numpy_calls.memory import ArrayMemory, AxisSlice
from mlpcore.compiler.places import Place

Tile = tuple[int, int]  # start and stop of its rows
View = Callable[[Tile | None], np.ndarray]  # of the rows of a tile, or of all rows


def unchanged(array: np.ndarray) -> np.ndarray:
    """The array itself."""
    return array


class Names:
    """The array of node 7 is named ``a7``, a tile of it ``t7``, its value as a scalar ``v7``.

    ``scope`` maps names to values. In the body of a loop over ``tiles``, the names in ``tiled`` stand for a different
    array in every tile. ``partials`` are the partial results of the tiles. ``lines`` are the body of the function.
    """

    def __init__(self, memory: ArrayMemory) -> None:
        self.memory, self.schedule, self.places = memory, memory.schedule, memory.places
        self.lines: list[str] = []
        self.scope: dict[str, Any] = scope()
        self.tiles: list[Tile] = []
        self.tiled: dict[str, list[np.ndarray]] = {}
        self.partials: dict[Node, np.ndarray] = {}
        self.repeated: dict[tuple, np.ndarray] = {}

    def emit(self, line: str) -> None:
        """Add a line."""
        self.lines.append(line)

    def named(self, label: str, meaning: Any) -> str:
        """A name for an object that is the same for all tiles."""
        return _named(self.scope, label, meaning)

    def bind(self, number: int | str, view: View, sliced: bool = True) -> str:
        """A name for an array, or for its slice in each tile."""
        if self.tiles and sliced:
            return _named(self.tiled, f"t{number}", [view(tile) for tile in self.tiles])
        return self.named(f"a{number}", view(None))

    def axis(self, node: Node, operand: Node) -> int | None:
        """The axis of an operand, or of the result, that is cut into tiles; None without tiles."""
        if not self.tiles:
            return None
        axes = self.memory.group_of[node].member(node).axes
        axis = axes.index(0) - (len(axes) - operand.ndim)
        return axis if axis >= 0 and long(operand.shape[axis]) else None

    def operand(self, node: Node, position: int, change: Callable = unchanged) -> str:
        """The name of an operand: an array after ``change``, or a scalar in elementwise functions."""
        operand = node.inputs[position]
        place, axis = self.schedule.source(node, operand), self.axis(node, operand)
        if node.kind == "elementwise" and is_scalar(place.root):
            return f"v{place.root.number}"

        def view(tile: Tile | None) -> np.ndarray:
            return change(self.memory.view(place, operand.shape, axis_slice(axis, tile)))

        return self.bind(operand.number, view, axis is not None)

    def result(self, node: Node, change: Callable = unchanged) -> str:
        """The name of the array that a node is written to; of a reduction in tiles, its partial results."""
        axis = self.axis(node, node)
        if not self.tiles or not self.memory.group_of[node].late(node):
            return self.bind(node.number, lambda tile: change(self.memory.result(node, axis_slice(axis, tile))))
        shape = (len(self.tiles), *self.memory.layout.dims(node.shape))
        partials = self.partials[node] = np.empty(shape, node.dtype)
        return self.bind(node.number, lambda tile: change(partials[self.tiles.index(tile or (0, 0))]))

    def value(self, node: Node, position: int) -> str:
        """The operand of a scalar node, as an expression."""
        operand = node.inputs[position]
        place: Place = self.schedule.source(node, operand)
        if is_scalar(place.root):
            return f"v{place.root.number}"
        entry = self.memory.view(place, operand.shape).reshape(())
        if place.root.name == "number":
            return self.named(f"c{place.root.number}", entry[()])
        return f"{self.named(f'e{operand.number}', entry)}[()]"

    def set_scalar(self, node: Node, value: str) -> None:
        """The line that computes a scalar, and one that stores it where it is read from memory."""
        self.emit(f"v{node.number} = {value}")
        if self.memory.is_stored(node) and self.memory.owner_of(node)[0] is not self.memory.old.get(node):
            self.emit(f"{self.result(node)}[...] = v{node.number}")

    def filled(self, value: Any, like: np.ndarray) -> np.ndarray:
        """An array with one number in every entry, in the shape and memory order of another."""
        key = (value, like.shape, like.strides, like.dtype)
        return self.repeated.setdefault(key, np.full_like(like, value))


def axis_slice(axis: int | None, tile: Tile | None) -> AxisSlice | None:
    """The slice of a tile along an axis; None for all rows."""
    return None if axis is None or tile is None else (axis, *tile)


def _named(names: dict[str, Any], label: str, meaning: Any) -> str:
    """The label, with a number appended if it is taken."""
    name, count = label, 1
    while name in names and not _same(names[name], meaning):
        name, count = f"{label}_{count}", count + 1
    names[name] = meaning
    return name


def _same(first: Any, second: Any) -> bool:
    """Whether two arrays, or two lists of arrays, are views of the same memory in the same form."""
    if isinstance(first, (list, tuple)):
        return len(first) == len(second) and all(map(_same, first, second))
    if not isinstance(first, np.ndarray) or not isinstance(second, np.ndarray):
        return type(first) is type(second) and bool(first == second)
    first_form, second_form = (
        (array.ctypes.data, array.shape, array.strides, array.dtype) for array in (first, second)
    )
    return first_form == second_form
