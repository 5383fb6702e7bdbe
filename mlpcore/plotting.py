"""Plots learning curves with matplotlib, which is imported only when it is needed."""

import io
import math
import os
from typing import Any, Protocol

from mlpcore.errors import DataError, import_extra
from mlpcore.files.writing import Path, replace_file

PANEL = (5.4, 3.6)  # inches
LOG_FROM = 10  # losses that span more than this factor are drawn on a logarithmic scale
COLORS = {"loss": "#3566a8", "val_loss": "#d2602a"}
GRID = "#e4e4e4"
METRIC_COLORS = ("#2e8b57", "#8455a3", "#a8823a", "#c2477f")
NOT_CURVES = ("learning_rate", "rows_per_second")


class Curves(Protocol):
    """The part of `mlpcore.training.history.History` that is plotted: rows of numbers by name, and columns."""

    rows: list[dict[str, float]]

    @property
    def columns(self) -> tuple[str, ...]:
        """The names of the columns."""

    def __getitem__(self, column: str) -> list[float]:
        """A column."""


def plot_history(history: Curves, ax: Any = None) -> tuple[Any, ...]:
    """Draw the learning curves: losses in one panel, metrics in another. Returns the axes, that of the losses first.

    ``ax`` is an axes for the losses, which then gets a second axis for the metrics on the right; or a pair of axes.
    Without it pyplot creates a figure, which notebooks show. The training loss of an epoch is plotted at its middle, as
    it is a mean over the epoch; values measured after the epoch are plotted at its end. A ring marks the lowest
    validation loss. Errors: DataError for an empty history, MissingDependency without matplotlib (extra ``plot``).
    """
    ticker = load_matplotlib("ticker")
    losses = [name for name in history.columns if name in COLORS]
    metrics = [name for name in history.columns if name not in COLORS and name not in NOT_CURVES]
    if not losses and not metrics:
        raise DataError("plot_history: the history has no epochs, expected at least one; call fit first")
    twin = hasattr(ax, "plot") and bool(metrics)
    axes = _axes(ax, twin, 1 + bool(metrics))
    for name in losses:
        _curve(axes[0], history, name, "training" if name == "loss" else "validation", COLORS[name])
    if "val_loss" in losses:
        _ring(axes[0], history)
    seen = [value for name in losses for value in history[name] if math.isfinite(value)]
    if seen and 0 < LOG_FROM * min(seen) < max(seen):
        axes[0].set_yscale("log")
    axes[0].set_ylabel("loss (mean per row)")
    if metrics:
        shown = [name.removeprefix("val_").replace("_", " ") for name in metrics]
        for i, (name, label) in enumerate(zip(metrics, shown, strict=True)):
            _curve(axes[1], history, name, f"validation {label}", METRIC_COLORS[i % len(METRIC_COLORS)])
        shares = all(name.endswith("accuracy") for name in metrics)
        if shares:
            axes[1].yaxis.set_major_formatter(ticker.FuncFormatter(lambda value, _: f"{100 * value:g}"))
        axis_label = shown[0] if len(shown) == 1 else "metrics"
        axes[1].set_ylabel(f"{axis_label} (%)" if shares else axis_label)
    for axis in axes[:1] if twin else axes:
        axis.set_xlabel("epoch")
        axis.xaxis.set_major_locator(ticker.MaxNLocator(integer=True, steps=[1, 2, 5, 10]))
        axis.grid(True, color=GRID, linewidth=0.8)
        axis.set_axisbelow(True)
        axis.spines[["top", *([] if twin else ["right"])]].set_visible(False)
    _legends(axes, twin)
    return axes


def save_history(history: Curves, path: Path, title: str = "") -> None:
    """Write the learning curves to a picture file, without pyplot and without a screen.

    The file type follows from the suffix of the name, PNG without one. The file is written completely or not at all.
    """
    figure_class = load_matplotlib("figure").Figure
    panels = 1 + any(name not in COLORS and name not in NOT_CURVES for name in history.columns)
    figure = figure_class(figsize=(panels * PANEL[0], PANEL[1]), dpi=150, layout="constrained")
    plot_history(history, figure.subplots(1, panels, squeeze=False)[0])
    figure.suptitle(title, parse_math=False)  # a title may be a file name, not mathematics
    name, picture = os.fspath(path), io.BytesIO()
    kind = os.path.splitext(name)[1]
    figure.savefig(picture, format=kind[1:] or "png")
    replace_file(name if kind else f"{name}.png", [picture.getvalue()])


def load_matplotlib(module: str = "") -> Any:
    """matplotlib, or a module of it; MissingDependency where it cannot be imported."""
    name = f"matplotlib.{module}" if module else "matplotlib"
    return import_extra(name, "plot", "matplotlib draws the pictures and")


def _axes(ax: Any, twin: bool, panels: int) -> tuple[Any, ...]:
    """The axes to draw in: new ones of pyplot, ``ax`` with a second axis on its right, or those in ``ax``."""
    if ax is None:
        size = (panels * PANEL[0], PANEL[1])
        pyplot = load_matplotlib("pyplot")
        return tuple(pyplot.subplots(1, panels, figsize=size, layout="constrained", squeeze=False)[1][0])
    if twin:
        return ax, ax.twinx()
    axes = (ax,) if hasattr(ax, "plot") else tuple(ax)
    if len(axes) < panels:
        raise DataError(f"plot_history: ax has {len(axes)} axes, expected {panels}, for losses and metrics")
    return axes[:panels]


def _curve(axis: Any, history: Curves, name: str, label: str, color: str) -> None:
    """Draw a column over the epochs that have it, with markers if there are only a few."""
    points = [(epoch, row[name]) for epoch, row in enumerate(history.rows, start=1) if name in row]
    epochs = [epoch - 0.5 if name == "loss" else epoch for epoch, _ in points]
    dots = "o" if len(points) <= 12 else ""
    axis.plot(
        epochs, [value for _, value in points], color=color, label=label, linewidth=1.8, marker=dots, markersize=4
    )


def _ring(axis: Any, history: Curves) -> None:
    """Draw a ring around the lowest validation loss, whose weights early stopping keeps."""
    points = [(row["val_loss"], epoch) for epoch, row in enumerate(history.rows, start=1) if "val_loss" in row]
    value, epoch = min(points)
    style = {"facecolors": "none", "edgecolors": COLORS["val_loss"], "linewidths": 1.4, "zorder": 3}
    axis.scatter([epoch], [value], s=70, label=f"lowest, epoch {epoch}", **style)


def _legends(axes: tuple[Any, ...], twin: bool) -> None:
    """Draw a legend in each panel; one for both axes where they share a panel."""
    if not twin:
        for axis in axes:
            axis.legend(frameon=False, loc="best")
        return
    (handles, labels), (more_handles, more_labels) = (axis.get_legend_handles_labels() for axis in axes)
    axes[1].legend(handles + more_handles, labels + more_labels, frameon=False)
