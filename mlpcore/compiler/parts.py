"""Parts of concatenations that are made where they belong."""

from mlpcore.compiler.graph import Node, long
from mlpcore.compiler.places import ZERO, Place, Size, packed, size
from mlpcore.compiler.schedule import Schedule


def placed_parts(schedule: Schedule) -> dict[Node, tuple[Node, Size]]:
    """The concatenation that a node is part of, and the entry at which the part begins: parts that are computed here,
    whole and packed, get their place in it."""
    home: dict[Node, tuple[Node, Size]] = {}
    for node in schedule.items:
        if not isinstance(node, Node) or node.kind != "concat":
            continue
        axis, begin = dict(node.attributes)["axis"], ZERO
        alone = not any(map(long, node.shape[:axis]))
        for part in node.inputs:
            place = schedule.places[part]
            root = place.root
            whole = place == Place(root, ZERO, packed(part.shape)) and size(part.shape) == size(root.shape)
            if alone and whole and root.kind not in ("input", "constant", "concat") and root not in home:
                home[root] = (node, begin)
            begin = begin.plus(size(part.shape))
    return home
