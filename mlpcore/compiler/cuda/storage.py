"""Which values of a schedule are stored in device memory, and where."""

from collections.abc import Sequence

from mlpcore.compiler.concatenation import placed_parts
from mlpcore.compiler.cuda.schedule import DeviceSchedule, reductions, written
from mlpcore.compiler.graph import Node
from mlpcore.compiler.memory import owner_of, replaceable
from mlpcore.compiler.places import Size
from mlpcore.compiler.schedule import Loop


class DeviceStorage:
    """The memory of a schedule on a device.

    ``stored``: nodes whose values are written to memory. ``placed``: nodes that share the array of another node, with
    that node and the offset. ``copies``: the (new, old) pairs that need a copy at the end of the step. ``touched``: the
    first and the last item that use an array. ``numbers``: the floating constants of the kernels, which read them from
    an array, because they differ from member to member. ``at_once``: numbers of items that one kernel computes, which
    therefore use their arrays at the same time. ``in_blocks``: stored nodes that lie in the shared memory of blocks.
    """

    def __init__(self, schedule: DeviceSchedule, pairs: Sequence[tuple[Node, Node]], at_once: range = range(0)) -> None:
        self.schedule, self.places = schedule, schedule.places
        roots = [(self.places[new].root, old) for new, old in pairs]
        self.output_roots = {self.places[output].root for output in schedule.graph.outputs}
        self.stored = self.output_roots | self._read_elsewhere()
        self.placed: dict[Node, tuple[Node, Size]] = placed_parts(schedule)
        candidates = [(new, old) for new, old in pairs if self._in_one_thread(self.places[new].root)]
        passes = {node: (member.inner_depth,) for item in schedule.items if isinstance(item, Loop)
                  for node, member in item.members.items()}  # fmt: skip
        replaced = replaceable(schedule, passes, candidates)
        self.placed |= {new: (old, Size(0)) for new, old in replaced.items()}
        self.copies = [(new, old) for new, old in roots if new is not old and replaced.get(new) is not old]
        self.touched = self._touched(at_once)
        self.in_blocks: set[Node] = set()
        self.numbers: list[Node] = []

    def number(self, node: Node) -> int:
        """The position of a floating constant in the array of all."""
        if node not in self.numbers:
            self.numbers.append(node)
        return self.numbers.index(node)

    def owner_of(self, root: Node) -> tuple[Node, Size]:
        """The node whose array holds the entries of a root, and the offset in it."""
        return owner_of(self.placed, root)

    def _in_one_thread(self, root: Node) -> bool:
        """Whether every entry of a new value is read and written by the same thread, in one pass."""
        number = self.schedule.item_of.get(root)
        loop = None if number is None else self.schedule.items[number]
        if not isinstance(loop, Loop) or root in self.placed:
            return False
        rows = any(not member.late for member in reductions(loop.members.values()))
        return not rows and loop.members[root].inner_depth == len(loop.axes)

    def _read_elsewhere(self) -> set[Node]:
        """The nodes that another item reads, and the results that only the end of a loop completes."""
        stored: set[Node] = set()
        for item in self.schedule.items:
            if not isinstance(item, Loop):
                stored |= {*written(item), *self.schedule.reads(item)}
                continue
            stored |= {node for node, member in item.members.items() if member.late}
            for node in item.members:
                for i, operand in enumerate(node.inputs):
                    root = self.places[operand].root
                    gathered = node.kind == "take" and i == 0
                    if gathered or (root not in item.members and root.name != "number"):
                        stored.add(root)
        return stored

    def _touched(self, at_once: range) -> dict[Node, tuple[int, int]]:
        """The numbers of the first and the last item that read or write each array."""
        spans: dict[Node, tuple[int, int]] = {}
        for number, item in enumerate(self.schedule.items):
            begin, end = (at_once[0], at_once[-1]) if number in at_once else (number, number)
            for root in (*written(item), *self.schedule.reads(item)):
                owner = self.owner_of(root)[0]
                spans[owner] = (spans.get(owner, (begin, end))[0], end)
        return spans
