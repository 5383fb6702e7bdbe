"""Prints reductions as NumPy calls: sums of floats as products with ones where that is faster."""

import numpy as np

from mlpcore.compiler.graph import Node, long
from mlpcore.compiler.numpy_calls.functions import IDENTITY, REDUCTIONS
from mlpcore.compiler.numpy_calls.groups import is_scalar
from mlpcore.compiler.numpy_calls.names import Names, Tile


def flat(array: np.ndarray) -> np.ndarray:
    """All entries of an array as a vector, in their order in memory."""
    return array.reshape(-1, order="A")


class ReductionPrinter(Names):
    """Prints reductions."""

    def reduction(self, node: Node) -> None:
        """The lines of a reduction."""
        axes, (operand,) = dict(node.attributes)["axes"], node.inputs
        if not any(long(operand.shape[axis]) for axis in axes):  # the entries themselves
            if node.name == "argmax":
                self._put(node, f"zero_{node.dtype}")
            else:
                self._put(node, self.value(node, 0) if is_scalar(node) else self.operand(node, 0))
        elif 0 in self.memory.layout.dims(operand.shape):
            identity = IDENTITY[node.name] if node.dtype.kind == "f" else node.name in ("prod", "all")
            self._put(node, self.named(f"c{node.number}", node.dtype.type(identity)))
        elif node.name == "argmax":
            self._argmax(node, axes[0])
        elif (kept_axis := _kept_of_matrix(node, axes)) is not None:
            self._sum_of_matrix(node, kept_axis)
        elif is_scalar(node) and not self.tiles:
            self._total(node)
        else:
            words = f"{axes if len(axes) > 1 else axes[0]}, None, {self.result(node)}, True"
            self.emit(f"{REDUCTIONS[node.name]}.reduce({self.operand(node, 0)}, {words})")

    def join_tiles(self, node: Node) -> None:
        """The line that combines the partial results of all tiles."""
        partials = self.named(f"r{node.number}", self.partials[node])
        if is_scalar(node):
            self.set_scalar(node, f"{REDUCTIONS[node.name]}.reduce({partials}, None)")
        else:
            self.emit(f"{REDUCTIONS[node.name]}.reduce({partials}, 0, None, {self.result(node)})")

    def _put(self, node: Node, value: str) -> None:
        if is_scalar(node):
            self.set_scalar(node, value)
        else:
            self.emit(f"copyto({self.result(node)}, {value})")

    def _argmax(self, node: Node, axis: int) -> None:
        if is_scalar(node):
            self.set_scalar(node, f"argmax({self.operand(node, 0)})")
            return
        result = self.result(node, lambda array: array.reshape(array.shape[:axis] + array.shape[axis + 1 :]))
        self.emit(f"argmax({self.operand(node, 0)}, {axis}, {result})")

    def _total(self, node: Node) -> None:
        """The reduction of all entries to a scalar; contiguous floats are summed by a dot product with ones."""
        array = self.memory.view(self.schedule.source(node, node.inputs[0]), node.inputs[0].shape)
        if node.name == "sum" and node.dtype.kind == "f" and array.flags.forc:
            ones = self.named("ones", self.filled(1, np.empty(array.size, node.dtype)))
            self.set_scalar(node, f"dot({ones}, {self.operand(node, 0, flat)})")
        else:
            self.set_scalar(node, f"{REDUCTIONS[node.name]}.reduce({self.operand(node, 0)}, None)")

    def _sum_of_matrix(self, node: Node, kept_axis: int) -> None:
        """The sum along one axis of a matrix, as its product with a vector of ones."""
        (operand,) = node.inputs
        matrix = [i for i, dim in enumerate(operand.shape) if long(dim)]
        reduced = matrix[1 - kept_axis]
        count = self.memory.layout.dims(operand.shape)[reduced]

        def ones(tile: Tile | None) -> np.ndarray:
            return self.filled(1, np.empty(count if tile is None else tile[1] - tile[0], node.dtype))

        factors = [self.operand(node, 0, lambda array: array.reshape([array.shape[i] for i in matrix]))]
        factors.insert(1 - kept_axis, self.bind("_ones", ones, self.axis(node, operand) == reduced))
        self.emit(f"dot({factors[0]}, {factors[1]}, {self.result(node, flat)})")


def _kept_of_matrix(node: Node, axes: tuple[int, ...]) -> int | None:
    """Which of its two long axes a sum of floats keeps (0 or 1); None for other reductions."""
    axis_kept = [axis not in axes for axis, dim in enumerate(node.inputs[0].shape) if long(dim)]
    is_matrix_sum = node.name == "sum" and node.dtype.kind == "f" and len(axis_kept) == 2 and sum(axis_kept) == 1
    return axis_kept.index(True) if is_matrix_sum else None
