"""Plans of the compiler as text: what speed and memory of a compiled function depend on.

``python tests/helpers/plans.py`` writes the committed plans anew. A change of them is a change of speed or memory, to
be looked at.

Under a line for each phase, a plan has a line for each item: a loop, a product, a concatenation, draws. The brackets of
a loop are its blocks, each with one more axis than the block around it; in those of "lanes" several indices are
computed side by side. In them are operations with their numbers in the graph, each behind the (depth, stage) that
begins with it; sums that are complete only when the loop is are "late", and "along" are the axes of one that has them
in another order. Below an item stands where results are kept that are not only in variables: stored in an array, in a
buffer on the stack (within so many axes, of these lengths), or in the array of another node. "n" is the number of rows.
"""

from collections.abc import Iterator
from pathlib import Path

from mlpcore.compiler.blocks import Block, lane_axis
from mlpcore.compiler.graph import N, Node
from mlpcore.compiler.phases import Phase
from mlpcore.compiler.places import ZERO
from mlpcore.compiler.program import Program
from mlpcore.compiler.schedule import Item, Member, nodes_of
from mlpcore.compiler.storage import Storage
from mlpcore.compiler.workspace import Workspace

FILE = Path(__file__).parents[1] / "golden" / "plans.txt"
ROWS = (100, 2000)  # of a small batch and one in several tiles


def plan(program: Program) -> str:
    """The plan, and the bytes of temporary memory for the numbers of rows `ROWS`."""
    storage = program.storage
    lines = [line for phase in storage.phases for line in _phase(storage, phase)]
    lines += [f"copy {_name(new)} to {_name(old)}" for new, old in storage.copies]
    lines += [f"work {program.work}, memory " + ", ".join(_memory(program, rows) for rows in ROWS)]
    return "\n".join(lines)


def _phase(storage: Storage, phase: Phase) -> Iterator[str]:
    if phase.length is None:
        yield "phase"
    else:
        each = "" if phase.length is N else f", {phase.tile_length} each"
        yield f"phase in tiles of {phase.length}{each}"
    if phase.sums:
        yield f"  a part from each tile: {_names(phase.sums)}"
    for item in phase.items:
        yield f"  {_computed(storage, item)}"
        kept: dict[str, list[Node]] = {}
        for node in nodes_of(item):
            for where in _places(storage, node):
                kept.setdefault(where, []).append(node)
        yield from (f"    {where}: {_names(nodes)}" for where, nodes in kept.items())


def _computed(storage: Storage, item: Item) -> str:
    if isinstance(item, Node):
        return f"{_name(item)} {_shape(item.shape)} of {_names(storage.schedule.reads(item))}"
    lanes = lane_axis(item)
    around = "" if lanes is None else f", lanes along axis {lanes}"
    return f"loop {_shape(item.axes)}{around} {_block(storage.blocks[item])}"


def _block(block: Block) -> str:
    text, last = "lanes [" if block.lanes else "[", ""
    for child in block.children:
        if isinstance(child, Block):
            text, last = text + _block(child) + " ", ""
            continue
        when = _when(child)
        text += ("" if when == last else f"({when}) ") + _name(child.node) + " "
        last = when
    return text.strip() + "]"


def _when(member: Member) -> str:
    order = [axis for axis in member.axes if axis >= 0]
    turned = f" along {' '.join(map(str, order))}" if order != sorted(order) else ""
    return f"{member.depth}, {member.stage}{' late' * member.late}{turned}"


def _places(storage: Storage, node: Node) -> Iterator[str]:
    """Where a result is kept that is not only in a variable."""
    if node in storage.buffers:
        buffer = storage.buffers[node]
        yield f"in a buffer within {buffer.depth} axes, {buffer.lengths or 'one number'}"
    if node in storage.stored:
        owner, offset = storage.owner_of(node)
        own = "of each tile" if owner in storage.local else ""
        if owner is node:
            yield f"stored {own}".strip()
        else:
            yield f"in {_name(owner)}" + (f" + {offset}" if offset != ZERO else "") + (f" {own}" if own else "")


def _memory(program: Program, rows: int) -> str:
    """The bytes for a number of rows, and for that many and fewer, with the rows of their tiles."""
    program.source  # noqa: B018  # names the arrays
    storage, tiling = program.storage, program.tiling
    given = {*program.tracer.data, *(node for node in program.schedule.nodes if node.kind == "input")}
    owners = [node for node in storage.arrays if node not in given and node.name != "number"]
    each, most = tiling.of_rows(rows, program.work.at(rows)), tiling.largest(rows, program.work)
    exact = Workspace(storage, program.sums, owners, rows, each, -(-rows // each), fewer=False)
    fewer = Workspace(storage, program.sums, owners, rows, most, min(tiling.most, rows), fewer=True)
    return f"{exact.length} for {rows} rows in tiles of {each} ({fewer.length} and {most} for fewer)"


def _name(node: Node) -> str:
    return f"{node.name}.{node.number}"


def _names(nodes: list[Node]) -> str:
    return " ".join(map(_name, nodes))


def _shape(shape: tuple) -> str:
    return " x ".join(map(str, shape)) or "nothing"


def read() -> dict[str, str]:
    """The committed plans."""
    parts = FILE.read_text().split("\n== ")[1:]
    return dict(part.rstrip("\n").split("\n", 1) for part in parts)


def main() -> None:
    """The command."""
    from plan_cases import CASES

    texts = [f"== {name}\n{plan(make())}\n" for name, make in CASES.items()]
    FILE.write_text("Plans of the compiler, see tests/helpers/plans.py, which writes this file.\n\n" + "\n".join(texts))


if __name__ == "__main__":
    main()
