"""A traced function as kernels and matrix products of a device."""

import hashlib
from collections.abc import Sequence
from dataclasses import replace
from functools import cached_property

import numpy as np

from mlpcore.compiler.arrays import TracedArray
from mlpcore.compiler.cuda import draws
from mlpcore.compiler.cuda.epilogues import FusedProduct
from mlpcore.compiler.cuda.kernel_text import Kernel
from mlpcore.compiler.cuda.kernels import KernelPrinter
from mlpcore.compiler.cuda.preamble import PREAMBLE, device_text
from mlpcore.compiler.cuda.row_tiles import RowTiles, row_phase
from mlpcore.compiler.cuda.schedule import DeviceSchedule, scalar_epilogue
from mlpcore.compiler.cuda.storage import DeviceStorage
from mlpcore.compiler.graph import Node
from mlpcore.compiler.places import Place, Size, packed
from mlpcore.compiler.program import distinct_updates
from mlpcore.compiler.schedule import Loop
from mlpcore.compiler.trace import Tracer


class DeviceProgram:
    """The CUDA C of a traced function. ``replaced`` are pairs (output, input): the output is written over the input.

    With ``epilogues`` some products also compute what follows them, see `FusedProduct`. With ``one_kernel``, one kernel
    over tiles of rows, ``row_tiles``, does all work by rows; `NotInTiles` where it cannot.
    """

    def __init__(
        self,
        tracer: Tracer,
        outputs: Sequence[TracedArray],
        replaced: Sequence[tuple[TracedArray, TracedArray]] = (),
        epilogues: bool = False,
        one_kernel: bool = False,
    ) -> None:
        self.tracer, self.arguments = tracer, (tracer, outputs, replaced)
        pairs = distinct_updates(tracer, replaced)
        tracer.graph.outputs = [output.node for output in (*outputs, *(new for new, _ in pairs))]
        self.schedule = DeviceSchedule(tracer.graph, epilogues)
        nodes = [(new.node, old.node) for new, old in pairs]
        found = row_phase(self.schedule, nodes) if one_kernel else None
        phase, tiled = found or (None, range(0))
        self.storage = DeviceStorage(self.schedule, nodes, tiled)
        self.row_tiles = RowTiles(self.storage, phase, tiled) if phase else None
        self.kernels: dict[int, Kernel] = {}  # by the number of the item
        texts = [PREAMBLE]
        if any(isinstance(item, Node) and item.kind == "draw" for item in self.schedule.items):
            texts.append(draws.PHILOX)
        if self.row_tiles is not None:
            texts.append(device_text(self.row_tiles.functions))
        items, epilogue = self.schedule.items, None
        for number, item in enumerate(items):
            if self.row_tiles is not None and number in tiled:
                if number == tiled[0]:
                    texts.append(device_text(self.row_tiles.source))
                continue
            if isinstance(item, Loop) and item is epilogue:
                continue  # its formulas are in the kernel of the item before
            if isinstance(item, Loop):
                epilogue = scalar_epilogue(items, number)
                text, self.kernels[number] = KernelPrinter(self.storage, item, f"loop{number}", epilogue).print()
                texts.append(device_text(text))
            elif isinstance(item, Node) and item.kind == "draw":
                texts.append(device_text(draws.printed(item, f"draw{number}")))
        self.source = "\n".join([*texts, ""])

    @cached_property
    def without_epilogues(self) -> "DeviceProgram":
        """The program for a device that has no product for one of the epilogues."""
        return DeviceProgram(*self.arguments)

    @cached_property
    def signature(self) -> str:
        """Equal for programs that differ in nothing but the values of floating constants and of constant arrays.

        Their nodes have the same numbers.
        """
        graph = self.tracer.graph
        nodes = [
            replace(node, attributes=()) if node.name == "number" and node.dtype.kind == "f" else node
            for node in graph.nodes
        ]
        products = [item for item in self.schedule.items if isinstance(item, FusedProduct)]
        lines = [self.source, *map(str, (*nodes, *products)), *(str(node.number) for node in graph.outputs)]
        return hashlib.sha256("\n".join(lines).encode()).hexdigest()

    def constant(self, node: Node) -> np.ndarray:
        """The value of a constant as a vector; the node may be that of another program of this signature."""
        own = self.tracer.graph.nodes[node.number]
        value = self.tracer.data[own] if own in self.tracer.data else dict(own.attributes)["value"]
        return np.ascontiguousarray(value, own.dtype).reshape(-1)

    def numbers(self, nodes: Sequence[Node]) -> np.ndarray:
        """The values of floating constants as the kernels read them: each in its own dtype, in the place of 8 bytes."""
        places = np.zeros((len(nodes), 8), np.uint8)
        for place, node in zip(places, nodes, strict=True):
            place.view(node.dtype)[:1] = self.constant(node)
        return places.reshape(-1).view(np.float64)

    def makes(self, output: Node) -> bool:
        """Whether an output is a whole array of its own, so that each call may write it to another array."""
        place = self.storage.places[output]
        separate = place == Place(output, Size(0), packed(output.shape)) and self.storage.owner_of(output)[0] is output
        return separate and output.kind in ("elementwise", "reduce", "matmul", "take")

    def __str__(self) -> str:
        return str(self.schedule)
