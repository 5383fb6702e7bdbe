"""The arrays of a kernel over tiles of rows as C expressions: in shared memory by the row of the tile, or global."""

from collections.abc import Sequence

from mlpcore.compiler.cuda.storage import DeviceStorage
from mlpcore.compiler.cuda.tile_memory import TileMemory
from mlpcore.compiler.graph import Node
from mlpcore.compiler.places import ONE, ZERO, Place, Size, entry


class TileText:
    """``arrays`` and ``numbers`` are the arguments of the kernel, by first use.

    In the text, ``begin`` is the number of the first row of the tile, ``count`` the number of its rows, ``r`` a row of
    the tile and ``i0`` the same among all rows.
    """

    def __init__(self, storage: DeviceStorage, memory: TileMemory) -> None:
        self.storage, self.memory = storage, memory
        self.arrays: list[Node] = []
        self.numbers: list[Node] = []

    def at(self, place: Place, strides: Sequence[Size]) -> str:
        """An entry, for strides along indices of which the first is the row."""
        local = self.memory.arrays.get(place.root)
        if local is None:
            owner, offset = self._owner(place.root)
            return entry(self._name(owner), offset.plus(place.offset), strides)
        terms = [f"r * {local.step}"] if strides and strides[0] != ZERO else []
        terms += [f"i{a}" if s == ONE else f"i{a} * {s}" for a, s in enumerate(strides) if a and s != ZERO]
        if place.offset != ZERO or not terms:
            terms.append(str(place.offset))
        return f"{local.name}[{' + '.join(terms)}]"

    def first_row(self, place: Place, stride: Size) -> tuple[str, int, bool]:
        """A pointer to the tile's first row at a place, the distance between rows, and whether it is in shared memory.

        ``stride`` is the distance in the whole array.
        """
        local = self.memory.arrays.get(place.root)
        if local is not None:
            return f"{local.name} + {place.offset}", local.step, True
        return f"{self.pointer(place)} + begin * {stride}", stride.fixed, False

    def pointer(self, place: Place) -> str:
        """A pointer to the first entry of a place in device memory."""
        owner, offset = self._owner(place.root)
        return f"{self._name(owner)} + {offset.plus(place.offset)}"

    def number(self, node: Node) -> str:
        """The name of a floating constant."""
        if node not in self.numbers:
            self.numbers.append(node)
        return f"c{self.numbers.index(node)}"

    def _owner(self, root: Node) -> tuple[Node, Size]:
        return self.storage.owner_of(root)

    def _name(self, owner: Node) -> str:
        if owner not in self.arrays:
            self.arrays.append(owner)
        return f"a{self.arrays.index(owner)}"
