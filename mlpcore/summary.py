"""The summary of a model as a table: its layers, their output widths, parameters and operations."""

from mlpcore.layers.containers import children
from mlpcore.layers.shapes import child_widths, parameter_shapes
from mlpcore.trees import is_statistic, leaf_key, named_leaves
from mlpcore.typing import Layer

WIDEST = 60  # characters of a layer's name
ITEM_BYTES = {"float32": 4, "float64": 8}


def summary(net: Layer, dtype: str, title: str) -> str:
    """The table as text; layers inside containers are indented.

    ``columns`` is the output width of a layer, ``?`` where it depends on the unknown width of x. ``parameters`` counts
    trained parameters, without running statistics. ``FLOPs`` are those of the forward matrix products for one row:
    ``2 * in * out`` for each weight, a multiplication and an addition counting as two; a layer that `Members` share is
    counted once. For a container both count only what it has besides its children.
    """
    rows = [["layer", "columns", "parameters", "FLOPs per row"], *_rows(net, "", None, 0)]
    total, flops = _size(net)
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


def forward_flops(net: Layer) -> int:
    """The FLOPs per row of the matrix products in the forward pass, as `summary` counts them."""
    return _size(net)[1]


def _rows(layer: Layer, path: str, n_in: int | None, depth: int) -> list[list[str]]:
    """The table row of a layer with ``n_in`` input columns, followed by the rows of its children."""
    width, inner = layer.output_width(n_in), children(layer)
    name = type(layer).__name__ if inner else repr(layer)
    name = name if len(name) <= WIDEST else f"{name[: WIDEST - 4]} ..."
    sizes = [_size(layer), *((-count, -flops) for count, flops in map(_size, inner))]
    size = [sum(numbers) for numbers in zip(*sizes, strict=True)]
    row = [f"{'  ' * depth}{f'{path} ' if path else ''}{name}", "?" if width is None else f"{width:,}"]
    rows = [[*row, *("" if inner and not any(size) else f"{number:,}" for number in size)]]
    for i, (child, columns) in enumerate(zip(inner, child_widths(layer, n_in), strict=True)):
        rows += _rows(child, f"{path}.{i}" if path else str(i), columns, depth + 1)
    return rows


def _size(layer: Layer) -> tuple[int, int]:
    """Of a layer and its children: the number of trained parameters, and the FLOPs per row of matrix products."""
    trained = [
        (name, leaf) for name, leaf in named_leaves(parameter_shapes(layer, "float32")) if not is_statistic(name)
    ]
    matrices = [leaf.size for name, leaf in trained if leaf_key(name) == "weight" and len(leaf.shape) > 1]
    return sum(leaf.size for _, leaf in trained), 2 * sum(matrices)


def _bytes(count: float) -> str:
    for unit in ("bytes", "KiB", "MiB"):
        if count < 1024:
            return f"{count:.4g} {unit}"
        count /= 1024
    return f"{count:.4g} GiB"
