"""The items of a phase over rows, other than loops, for the rows of one tile: products, draws, concatenations."""

from mlpcore.compiler.cuda import tile_products
from mlpcore.compiler.cuda.draws import TOGETHER
from mlpcore.compiler.cuda.schedule import BLOCK
from mlpcore.compiler.cuda.tile_text import TileText
from mlpcore.compiler.formulas import STORED, literal
from mlpcore.compiler.graph import N, Node
from mlpcore.compiler.places import ZERO, Place, packed, size


def printed(text: TileText, node: Node) -> list[str]:
    """The lines that compute a node for the rows of a tile."""
    if node.kind == "matmul":
        printer = tile_products.product if node.shape[-2] is N else tile_products.sums
        return [printer(text, node)]
    return {"draw": _draw, "concat": _concatenation}[node.kind](text, node)


def _draw(text: TileText, node: Node) -> list[str]:
    """Random factors: each thread computes one Philox block after the other, see `mlpcore.compiler.cuda.draws`."""
    kind, width = STORED[str(node.dtype)], int(node.shape[-1])
    key, position = (text.pointer(text.storage.places[operand]) for operand in node.inputs)
    place = Place(node, ZERO, packed(node.shape))
    out, row, _ = text.first_row(place, place.strides[-2])
    return [
        f"const unsigned long long *const key = {key}, *const position = {position};",
        f"{kind} *const out = {out};",
        f"const I skipped = ((I)position[1] + begin) * {width};  // factors of the rows before",
        f"const {kind} kept = ({kind})(65536.0 / key[3]);",
        f"const int all = count * {width};",
        f"for (int j = threadIdx.x;; j += {BLOCK}) {{",
        f"  const I block = skipped / {TOGETHER} + j;",
        f"  const int start = (int)(block * {TOGETHER} - skipped);",
        "  if (start >= all) break;",
        "  unsigned long long words[4];",
        "  philox(words, block, position[0], key[2], key[0], key[1]);",
        f"  for (int i = start < 0 ? -start : 0; i < {TOGETHER} && start + i < all; i++)",
        f"    out[(start + i) / {width} * {row} + (start + i) % {width}] = "
        "(words[i / 4] >> 16 * (i % 4) & 0xFFFF) < key[3] ? kept : 0;",
        "}",
    ]


def _concatenation(text: TileText, node: Node) -> list[str]:
    """Copies of the operands of a concatenation along an axis of a row."""
    axis, start, lines = dict(node.attributes)["axis"], 0, []
    strides = packed(node.shape)
    for operand in node.inputs:
        place, dims = text.storage.places[operand], operand.shape
        target = Place(node, strides[axis].times(start), strides)
        count = size(dims[1:]).fixed
        lines.append(f"for (int e = threadIdx.x; e < count * {count}; e += {BLOCK}) {{")
        lines.append("  int left = e;")
        for a in range(len(dims) - 1, 0, -1):
            lines.append(f"  const int i{a} = left % {dims[a]}; left /= {dims[a]};")
        lines.append("  const int r = left; const I i0 = begin + r;")
        lines.append(f"  {text.at(target, strides)} = {_value(text, place)};")
        lines.append("}")
        start += int(dims[axis])
    return lines


def _value(text: TileText, place: Place) -> str:
    root = place.root
    if root.name != "number":
        return text.at(place, place.strides)
    return text.number(root) if root.dtype.kind == "f" else literal(dict(root.attributes)["value"], root.dtype)
