"""The summary of a model as a table: its layers, their output widths, parameters and operations."""

from collections import defaultdict

from mlpcore.layers.outline import children
from mlpcore.trees import Layout, leaf_key
from mlpcore.typing import Layer

WIDEST = 60  # characters of a layer's name
ITEM_BYTES = {"float32": 4, "float64": 8}


def summary(net: Layer, layout: Layout, dtype: str, title: str) -> str:
    """The table as text; layers inside containers are indented.

    ``columns`` is the output width of a layer, ``?`` where it depends on the unknown width of x. ``parameters`` counts
    trained parameters, without running statistics. ``FLOPs`` are those of the forward matrix products for one row:
    ``2 * in * out`` for each weight, a multiplication and an addition counting as two.
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
    """The names of the slots at and below every path; "" is the whole network."""
    names_by_path = defaultdict(list)
    for name in layout.slots:
        parts = name.split(".")
        for end in range(len(parts) + 1):
            names_by_path[".".join(parts[:end])].append(name)
    return names_by_path


def _rows(
    layer: Layer, layout: Layout, slots: dict[str, list[str]], path: str, n_in: int | None, depth: int
) -> list[list[str]]:
    """The table row of a layer, followed by those of the layers in it."""
    width = layer.widths(n_in)
    inner = children(layer)
    name = type(layer).__name__ if inner else repr(layer)
    name = name if len(name) <= WIDEST else f"{name[: WIDEST - 4]} ..."
    row = [f"{'  ' * depth}{f'{path} ' if path else ''}{name}", "?" if width is None else f"{width:,}"]
    if not inner:
        names = slots.get(path, [])
        count = sum(layout.slots[name].stop - layout.slots[name].start for name in names)
        return [[*row, f"{count:,}", f"{sum(_flops(layout, name) for name in names):,}"]]
    rows = [[*row, "", ""]]
    for i, child in enumerate(inner):
        rows += _rows(child, layout, slots, f"{path}.{i}" if path else str(i), n_in, depth + 1)
        n_in = child.widths(n_in)
    return rows


def _flops(layout: Layout, name: str) -> int:
    """The operations of the matrix product of one row with this leaf; 0 for leaves that are no weight matrices."""
    slot = layout.slots[name]
    return 2 * (slot.stop - slot.start) if leaf_key(name) == "weight" and len(slot.shape) == 2 else 0


def _bytes(count: float) -> str:
    for unit in ("bytes", "KiB", "MiB"):
        if count < 1024:
            return f"{count:.4g} {unit}"
        count /= 1024
    return f"{count:.4g} GiB"
