"""Operands of concatenations that are computed directly in the memory of the result."""

from mlpcore.compiler.graph import Node, long
from mlpcore.compiler.places import ZERO, Place, Size, packed, size
from mlpcore.compiler.schedule import Schedule


def placed_parts(schedule: Schedule) -> dict[Node, tuple[Node, Size]]:
    """For every node that can be computed in the memory of a concatenation: the concatenation, and the offset in it.

    Such a node is a packed operand that the graph computes. The concatenation is along its outermost axis that is
    longer than 1; of several concatenations of one operand, it is the first.
    """
    placed: dict[Node, tuple[Node, Size]] = {}
    for node in schedule.items:
        if not isinstance(node, Node) or node.kind != "concat":
            continue
        axis, offset = dict(node.attributes)["axis"], ZERO
        outermost = not any(map(long, node.shape[:axis]))
        for operand in node.inputs:
            place = schedule.places[operand]
            root = place.root
            is_packed = place == Place(root, ZERO, packed(operand.shape)) and size(operand.shape) == size(root.shape)
            if outermost and is_packed and root.kind not in ("input", "constant", "concat") and root not in placed:
                placed[root] = (node, offset)
            offset = offset.plus(size(operand.shape))
    return placed
