"""Names for the arrays and numbers that stand in the text of NumPy calls."""

from collections.abc import Callable
from typing import Any

import numpy as np

from mlpcore.compiler.graph import Node, long
from mlpcore.compiler.numpy_calls.functions import scope
from mlpcore.compiler.numpy_calls.memory import ArrayMemory, AxisSlice
from mlpcore.compiler.numpy_calls.order import is_scalar
from mlpcore.compiler.places import Place

Tile = tuple[int, int]  # the first row, and the one behind the last
View = Callable[[Tile | None], np.ndarray]  # of an array the rows of a tile, or all


def unchanged(array: np.ndarray) -> np.ndarray:
    """The array itself."""
    return array


class Names:
    """The array of node 7 is ``a7``, the rows of a tile of it are ``t7``, its value as a scalar is ``v7``.

    ``scope`` is what names mean; in the body of a loop over ``tiles`` those in ``tiled`` mean another array for every
    tile. ``partials`` are the reductions of the tiles. ``lines`` are the body of the function.
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
        """A line more."""
        self.lines.append(line)

    def named(self, label: str, meaning: Any) -> str:
        """A name for something that is the same for all tiles."""
        return _named(self.scope, label, meaning)

    def bind(self, number: int | str, view: View, sliced: bool = True) -> str:
        """A name for an array, or for the rows of each tile of it."""
        if self.tiles and sliced:
            return _named(self.tiled, f"t{number}", [view(tile) for tile in self.tiles])
        return self.named(f"a{number}", view(None))

    def axis(self, node: Node, one: Node) -> int | None:
        """The axis of an operand, or of the result, along which the tiles lie."""
        if not self.tiles:
            return None
        axes = self.memory.group_of[node].member(node).axes
        axis = axes.index(0) - (len(axes) - one.ndim)
        return axis if axis >= 0 and long(one.shape[axis]) else None

    def operand(self, node: Node, position: int, change: Callable = unchanged) -> str:
        """What a node reads: an array, or what is made of it; a scalar in elementwise functions."""
        one = node.inputs[position]
        place, axis = self.schedule.source(node, one), self.axis(node, one)
        if node.kind == "elementwise" and is_scalar(place.root):
            return f"v{place.root.number}"

        def view(tile: Tile | None) -> np.ndarray:
            return change(self.memory.view(place, one.shape, axis_slice(axis, tile)))

        return self.bind(one.number, view, axis is not None)

    def result(self, node: Node, change: Callable = unchanged) -> str:
        """Where a node is computed; a reduction of all rows in tiles for each tile apart."""
        axis = self.axis(node, node)
        if not self.tiles or not self.memory.group_of[node].late(node):
            return self.bind(node.number, lambda tile: change(self.memory.result(node, axis_slice(axis, tile))))
        shape = (len(self.tiles), *self.memory.layout.dims(node.shape))
        partials = self.partials[node] = np.empty(shape, node.dtype)
        return self.bind(node.number, lambda tile: change(partials[self.tiles.index(tile or (0, 0))]))

    def value(self, node: Node, position: int) -> str:
        """What a scalar reads."""
        one = node.inputs[position]
        place: Place = self.schedule.source(node, one)
        if is_scalar(place.root):
            return f"v{place.root.number}"
        entry = self.memory.view(place, one.shape).reshape(())
        if place.root.name == "number":
            return self.named(f"c{place.root.number}", entry[()])
        return f"{self.named(f'e{one.number}', entry)}[()]"

    def set_scalar(self, node: Node, value: str) -> None:
        """The line that computes a scalar; where somebody reads it in memory also one that puts it there."""
        self.emit(f"v{node.number} = {value}")
        if self.memory.is_stored(node) and self.memory.whole(node)[0] is not self.memory.old.get(node):
            self.emit(f"{self.result(node)}[...] = v{node.number}")

    def filled(self, value: Any, like: np.ndarray) -> np.ndarray:
        """An array that holds one number everywhere and lies as another does."""
        key = (value, like.shape, like.strides, like.dtype)
        return self.repeated.setdefault(key, np.full_like(like, value))


def axis_slice(axis: int | None, tile: Tile | None) -> AxisSlice | None:
    """The rows of a tile, along an axis; None for all rows."""
    return None if axis is None or tile is None else (axis, *tile)


def _named(names: dict[str, Any], label: str, meaning: Any) -> str:
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
        return type(one) is type(other) and bool(one == other)
    key, again = ((x.ctypes.data, x.shape, x.strides, x.dtype) for x in (one, other))
    return key == again
