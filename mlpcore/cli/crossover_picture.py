"""The picture of `mlpcore crossover`: how many times as fast as NumPy the GPU is, against the operations of a call."""

import io
import math
import os
from collections.abc import Sequence
from typing import Any

from mlpcore.backends.choice.rule import threshold
from mlpcore.bench.crossover import Row
from mlpcore.bench.crossover_report import TITLES, grouped, points_of
from mlpcore.files.writing import replace_file
from mlpcore.plotting import GRID, PANEL, load_matplotlib

STYLES = {"float32": ("#3566a8", "o", "--"), "float64": ("#d2602a", "s", ":")}


def save_crossover(rows: Sequence[Row], path: str, title: str) -> None:
    """Write the picture, with a panel for steps and one for predictions. MissingDependency without matplotlib."""
    figure = load_matplotlib("figure").Figure(figsize=(2 * PANEL[0], PANEL[1]), dpi=150, layout="constrained")
    panels = dict(zip(TITLES, figure.subplots(1, 2, sharey=True), strict=True))
    for (dtype, what), group in grouped(rows).items():
        _draw(panels[what], dtype, group)
    for what, axis in panels.items():
        axis.axhline(1, color="#555555", linewidth=1)
        axis.set(xscale="log", yscale="log", title=TITLES[what], xlabel="FLOPs of the matrix products")
        axis.grid(True, color=GRID, linewidth=0.8)
        axis.set_axisbelow(True)
        axis.spines[["top", "right"]].set_visible(False)
        axis.legend(frameon=False, loc="best")
    first, ratios = next(iter(panels.values())), [row.numpy / row.gpu for row in rows]
    first.set(ylabel="time on NumPy / time on the GPU", ylim=(min(0.5, *ratios) / 1.2, 1.2 * max(2.0, *ratios)))
    ticker = load_matplotlib("ticker")
    first.yaxis.set_major_locator(ticker.LogLocator(subs=(1, 2, 5)))  # shared by both panels
    first.yaxis.set_major_formatter(ticker.FuncFormatter(lambda value, _: f"{value:g}"))
    first.yaxis.set_minor_locator(ticker.NullLocator())
    figure.suptitle(title, parse_math=False)
    picture = io.BytesIO()
    figure.savefig(picture, format=os.path.splitext(path)[1][1:] or "png")
    replace_file(path, [picture.getvalue()])


def _draw(axis: Any, dtype: str, rows: Sequence[Row]) -> None:
    """Draw the points of a dtype, and a line where the rule changes to the GPU."""
    color, marker, line = STYLES[dtype]
    limit = threshold(points_of(rows))
    label = f"{dtype}, never" if math.isinf(limit) else f"{dtype}, GPU from {limit:.2g}"
    axis.plot(
        *([row.flops for row in rows], [row.numpy / row.gpu for row in rows]),
        marker,
        color=color,
        label=label,
        alpha=0.8,
    )
    if math.isfinite(limit):
        axis.axvline(limit, color=color, linewidth=1.2, linestyle=line)
