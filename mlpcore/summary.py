"""The table of a model: its layers, how wide their output is, what they hold and what they cost."""

from collections import defaultdict

from mlpcore.layers.outline import children
from mlpcore.trees import Layout, leaf_key
from mlpcore.typing import Layer

WIDEST = 60  # characters of a layer's name
ITEM_BYTES = {"float32": 4, "float64": 8}


def summary(net: Layer, layout: Layout, dtype: str, title: str) -> str:
    """The lines of the table; layers inside of others are indented.

    ``columns`` are those of the layer's output, ``?`` where they are as many as those of x and x is not known.
    ``parameters`` are trained; running statistics are not counted. ``FLOPs`` are those of one row on its way forward,
    matrix products only: ``2 * in * out`` for each weight, a multiplication and an addition counting as two.
    """
    slots = _by_path(layout)
    rows = [["layer", "columns", "parameters", "FLOPs per row"], *_rows(net, layout, slots, "", None, 0)]
    sizes = {name: slot.stop - slot.start for name, slot in layout.slots.items()}
    total, flops = sum(sizes.values()), sum(_flops(layout, name) for name in sizes)
    rows.append(["total", "", f"{total:,}", f"{flops:,}"])
    wide = [max(len(row[i]) for row in rows) for i in range(4)]
    lines = ["  ".join([row[0].ljust(wide[0]), *(row[i].rjust(wide[i]) for i in (1, 2, 3))]).rstrip() for row in rows]
    rule = "-" * (sum(wide) + 6)
    return "\n".join(
        [
            title,
            *(lines[0], rule, *lines[1:-1], rule, lines[-1]),
            f"The parameters take {_bytes(total * ITEM_BYTES[dtype])} in {dtype}.",
            "FLOPs: 2 x in x out for each matrix product of the forward pass; training takes about three times that.",
        ]
    )


def _by_path(layout: Layout) -> dict[str, list[str]]:
    """The names of the slots at every path and below it, "" being the whole network."""
    found = defaultdict(list)
    for name in layout.slots:
        parts = name.split(".")
        for end in range(len(parts) + 1):
            found[".".join(parts[:end])].append(name)
    return found


def _rows(
    layer: Layer, layout: Layout, slots: dict[str, list[str]], path: str, n_in: int | None, depth: int
) -> list[list[str]]:
    """The row of a layer, and after it those of the layers in it."""
    width = layer.widths(n_in)
    inner = children(layer)
    name = type(layer).__name__ if inner else repr(layer)
    name = name if len(name) <= WIDEST else f"{name[: WIDEST - 4]} ..."
    row = [f"{'  ' * depth}{f'{path} ' if path else ''}{name}", "?" if width is None else f"{width:,}"]
    if not inner:
        own = slots.get(path, [])
        count = sum(layout.slots[name].stop - layout.slots[name].start for name in own)
        return [[*row, f"{count:,}", f"{sum(_flops(layout, name) for name in own):,}"]]
    rows = [[*row, "", ""]]
    for i, part in enumerate(inner):
        rows += _rows(part, layout, slots, f"{path}.{i}" if path else str(i), n_in, depth + 1)
        n_in = part.widths(n_in)
    return rows


def _flops(layout: Layout, name: str) -> int:
    """Of one row through the matrix product with this leaf; 0 for all that is no matrix."""
    slot = layout.slots[name]
    return 2 * (slot.stop - slot.start) if leaf_key(name) == "weight" and len(slot.shape) == 2 else 0


def _bytes(count: float) -> str:
    for unit in ("bytes", "KiB", "MiB"):
        if count < 1024:
            return f"{count:.4g} {unit}"
        count /= 1024
    return f"{count:.4g} GiB"
