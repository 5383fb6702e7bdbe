"""The text around the lines of a CUDA kernel: its name, its arguments and its constants."""

from collections.abc import Iterable, Sequence
from typing import NamedTuple

from mlpcore.compiler.cuda.schedule import BLOCK, ThreadLayout
from mlpcore.compiler.cuda.storage import DeviceStorage
from mlpcore.compiler.formulas import HELD, STORED
from mlpcore.compiler.graph import Node
from mlpcore.compiler.schedule import Loop


class Kernel(NamedTuple):
    """A printed kernel.

    Its arguments: ``arrays``, partial results of ``sums`` and the counts of blocks that have written theirs, the array
    of ``numbers`` if it needs some, the distances of all these from member to member, the number of rows and, for sums,
    the number of chunks.
    """

    name: str
    loop: Loop
    layout: ThreadLayout
    arrays: list[Node]
    sums: list[Node]
    numbers: list[Node]
    width: int = 1


def function_text(storage: DeviceStorage, kernel: Kernel, body: Iterable[str]) -> str:
    """The text of a kernel with these lines."""
    arrays = {f"a{i}": STORED[str(node.dtype)] for i, node in enumerate(kernel.arrays)}
    arrays |= {f"s{node.number}": HELD[str(node.dtype)] for node in kernel.sums}
    arrays |= {"written": "unsigned"} if kernel.sums else {}
    scalars = ["rows", *["chunks"] * bool(kernel.sums)]
    constants = [constant(storage, i, node) for i, node in enumerate(kernel.numbers)]
    return kernel_text(kernel.name, arrays, bool(constants), scalars, [*constants, *body])


def constant(storage: DeviceStorage, position: int, node: Node) -> str:
    """The declaration of a floating constant, the one at this position among those of the kernel."""
    kind = HELD[str(node.dtype)]
    return f"const {kind} c{position} = *(const {kind} *)(numbers + {storage.number(node)});"


def kernel_text(
    name: str,
    arrays: dict[str, str],
    numbers: bool,
    scalars: Sequence[str],
    body: Iterable[str],
    bounds: str = str(BLOCK),
) -> str:
    """The text of a kernel with the pointers ``arrays`` and their types, then ``numbers``, distances and ``scalars``.

    ``bounds`` are the threads of a block and, after a comma, the least number of blocks that a multiprocessor can hold.
    """
    arrays = arrays | ({"numbers": "const double"} if numbers else {})
    parameters = [f"{kind} *{array}" for array, kind in arrays.items()]
    parameters += [f"Distances<{len(arrays)}> to_next", *(f"I {scalar}" for scalar in scalars)]
    # Without the condition, which is false for a network alone, NVRTC takes some stores of 16 bytes apart.
    moves = [f"  {array} += blockIdx.y * to_next.at[{i}];" for i, array in enumerate(arrays)]
    lines = ["const I n = rows;", "if (blockIdx.y) {", *moves, "}", *body]
    head = f'extern "C" __global__ void __launch_bounds__({bounds}) {name}({", ".join(parameters)}) {{'
    return "\n".join([head, *(f"  {line}" for line in lines), "}"])
