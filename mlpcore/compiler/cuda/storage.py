"""What of a schedule is kept in the memory of a device, and where."""

from collections.abc import Sequence

from mlpcore.compiler.cuda.schedule import DeviceSchedule, reductions
from mlpcore.compiler.graph import Node
from mlpcore.compiler.memory import replaceable, whole
from mlpcore.compiler.parts import placed_parts
from mlpcore.compiler.places import Size
from mlpcore.compiler.schedule import Loop, nodes_of


class DeviceStorage:
    """``stored`` are the nodes whose entries go to memory, ``home`` says which of them are part of another's array.

    ``copies`` are the (new, old) that could not be written over at once, ``touched`` the first and the last item that
    uses an array.
    """

    def __init__(self, schedule: DeviceSchedule, pairs: Sequence[tuple[Node, Node]]) -> None:
        self.schedule, self.places = schedule, schedule.places
        roots = [(self.places[new].root, old) for new, old in pairs]
        self.kept = {self.places[one].root for one in schedule.graph.outputs}
        self.stored = self.kept | self._read_elsewhere()
        self.home: dict[Node, tuple[Node, Size]] = placed_parts(schedule)
        free = [(new, old) for new, old in pairs if self._alone(self.places[new].root)]
        works = {node: (member.work,) for item in schedule.items if isinstance(item, Loop)
                 for node, member in item.members.items()}  # fmt: skip
        replaced = replaceable(schedule, works, free)
        self.home |= {new: (old, Size(0)) for new, old in replaced.items()}
        self.copies = [(new, old) for new, old in roots if new is not old and replaced.get(new) is not old]
        self.touched = self._touched()

    def whole(self, root: Node) -> tuple[Node, Size]:
        """The node whose array holds the entries of a root, and from which entry on."""
        return whole(self.home, root)

    def _alone(self, root: Node) -> bool:
        """Whether one thread alone reads and writes an entry of a new value, and in one pass."""
        number = self.schedule.item_of.get(root)
        loop = None if number is None else self.schedule.items[number]
        if not isinstance(loop, Loop) or root in self.home:
            return False
        rows = any(not member.late for member in reductions(loop.members.values()))
        return not rows and loop.members[root].work == len(loop.axes)

    def _read_elsewhere(self) -> set[Node]:
        kept: set[Node] = set()
        for item in self.schedule.items:
            if isinstance(item, Node):
                kept |= {item, *(self.schedule.source(item, one).root for one in item.inputs)}
                continue
            kept |= {node for node, member in item.members.items() if member.late}
            for node in item.members:
                for i, one in enumerate(node.inputs):
                    root = self.places[one].root
                    gathered = node.kind == "take" and i == 0
                    if gathered or (root not in item.members and root.name != "number"):
                        kept.add(root)
        return kept

    def _touched(self) -> dict[Node, tuple[int, int]]:
        found: dict[Node, tuple[int, int]] = {}
        for number, item in enumerate(self.schedule.items):
            nodes = list(nodes_of(item))
            for root in (*nodes, *(self.schedule.source(node, one).root for node in nodes for one in node.inputs)):
                owner = self.whole(root)[0]
                found[owner] = (found.get(owner, (number, number))[0], number)
        return found
