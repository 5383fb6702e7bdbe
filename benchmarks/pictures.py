"""The pictures of docs/benchmarks.md, drawn with matplotlib from records."""

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from benchmarks.results import Results
from mlpcore.bench.contenders import OURS
from mlpcore.bench.suite import LIMIT, Record
from mlpcore.bench.tables import cases, rate, ratio
from mlpcore.bench.workloads import SWEEP, WORKLOADS

COLORS = {
    "mlpcore numpy": "#3566a8",
    "mlpcore jax": "#2e8b57",
    "mlpcore torch": "#d2602a",
    "mlpcore cupy": "#8455a3",
    "torch eager": "#d2602a",
    "torch.compile": "#e9a27c",
    "jax step": "#8fc7a5",
    "jax scan": "#2e8b57",
    "scikit-learn": "#a8823a",
    LIMIT: "#555555",
}
WIDTHS = {workload.name: workload.shape for workload in SWEEP}
Found = dict[tuple, dict[str, Record]]


def draw(section: str, sources: Sequence[Results], images: Path) -> Iterator[tuple[str, str]]:
    """Draw the pictures that belong under a section; the name and the words of each."""
    merged: Found = {}
    for source in sources:
        for key, by_contender in cases(source.records).items():
            if key[0] == "epoch" and key[3] == "float32":
                merged[key] = by_contender  # the last file that has a case is drawn
    for name, alt, caption, figure in PICTURES:
        if caption == section:
            drawn = figure(merged)
            if drawn is not None:
                images.mkdir(parents=True, exist_ok=True)
                drawn.savefig(images / name)
                yield name, alt


def shares(merged: Found) -> Any:
    """A panel of bars for each workload: the share of the limit that each contender reaches on the CPU."""
    named = [workload.name for workload in WORKLOADS]
    by_workload = {
        key[1]: by_contender
        for key, by_contender in merged.items()
        if key[1] in named and key[4] == "cpu" and LIMIT in by_contender
    }
    if not by_workload:
        return None
    figure, axes = _figure(len(by_workload), (1.75, 3.4), sharey=True)
    everyone = {name for by_contender in by_workload.values() for name in by_contender}
    names = [name for name in COLORS if name in everyone and name != LIMIT]
    for axis, workload in zip(axes, (name for name in named if name in by_workload), strict=True):
        by_contender = by_workload[workload]
        highest = max(100.0, *(100 * (ratio(record, by_contender[LIMIT]) or 0.0) for record in by_contender.values()))
        for place, name in enumerate(names):
            value = ratio(by_contender.get(name), by_contender[LIMIT])
            if value is not None:
                ours = name.startswith(OURS)
                axis.barh(place, 100 * value, color=COLORS[name], alpha=1.0 if ours else 0.55, height=0.72)
                clear = {"facecolor": "white", "edgecolor": "none", "pad": 0.6}
                right = 100 * value + 0.02 * highest
                axis.text(right, place, f"{100 * value:.0f}", va="center", fontsize=7.5, bbox=clear)
        axis.set(title=workload, xlim=(0, 1.25 * highest), xticks=(0, 100), ylim=(len(names) - 0.4, -0.6))
        axis.axvline(100, color=COLORS[LIMIT], linewidth=1, linestyle="--")
        axis.set_yticks(range(len(names)), names)
        _plain(axis, "x")
    figure.supxlabel("share of the limit (%): what the matrix products alone would allow is 100", fontsize=9)
    return figure


def throughput(merged: Found) -> Any:
    """A panel for each width: rows/s against the batch size, a line for each backend and device, and the limit."""
    panels: dict[str, dict[tuple[str, str], list[tuple[int, float]]]] = {}
    for (_, workload, batch, _, device), by_contender in merged.items():
        for contender, record in by_contender.items():
            if workload in WIDTHS and (contender.startswith(OURS) or contender == LIMIT) and rate(record):
                points = panels.setdefault(workload, {}).setdefault((contender, device), [])
                points.append((batch, rate(record) or 0.0))
    if not panels:
        return None
    figure, axes = _figure(len(panels), (4.9, 3.9))
    for axis, (workload, lines) in zip(axes, panels.items(), strict=True):
        for (contender, device), points in lines.items():
            limit, gpu = contender == LIMIT, device != "cpu"
            axis.plot(
                *zip(*sorted(points), strict=True),
                color=COLORS[contender],
                label=f"{contender}, GPU" if gpu else contender,
                linestyle=":" if limit else "--" if gpu else "-",
                marker="" if limit else "s" if gpu else "o",
                markersize=4,
            )
        axis.set_yscale("log")
        _batches(axis, WIDTHS[workload], "rows/s")
        axis.legend(frameon=False, fontsize=8)
    return figure


def overtaking(merged: Found) -> Any:
    """A line for each width: how many times as fast the GPU is at each batch size; it overtakes the CPU at 1."""
    lines: dict[tuple[str, str], list[tuple[int, float]]] = {}
    for (task, workload, batch, dtype, device), by_contender in merged.items():
        cpu = merged.get((task, workload, batch, dtype, "cpu"), {}).get("mlpcore numpy")
        if device == "cpu" or workload not in WIDTHS or not rate(cpu):
            continue
        for contender, record in by_contender.items():
            if contender.startswith(OURS) and rate(record):
                value = (rate(record) or 0.0) / (rate(cpu) or 1.0)
                lines.setdefault((contender, workload), []).append((batch, value))
    if not lines:
        return None
    figure, (axis,) = _figure(1, (6.4, 4.0))
    for (contender, workload), points in lines.items():
        points.sort()
        style = "-" if workload == next(iter(WIDTHS)) else "--"
        label = f"{contender}, {WIDTHS[workload]}"
        axis.plot(*zip(*points, strict=True), color=COLORS[contender], linestyle=style, marker="o", ms=4, label=label)
    axis.axhline(1, color=COLORS[LIMIT], linewidth=1)
    axis.set_yscale("log")
    _batches(axis, "GPU against mlpcore numpy on the CPU", "times as fast")
    axis.legend(frameon=False, fontsize=8)
    return figure


def _figure(panels: int, size: tuple[float, float], **words: Any) -> tuple[Any, Any]:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(panels * size[0] + 0.8, size[1]), dpi=150, layout="constrained")
    return figure, figure.subplots(1, panels, squeeze=False, **words)[0]


def _batches(axis: Any, title: str, label: str) -> None:
    axis.set_xscale("log", base=4)
    axis.set(title=title, xlabel="batch size", ylabel=label)
    axis.set_xticks([workload.batch for workload in SWEEP], labels=[f"{workload.batch}" for workload in SWEEP])
    axis.set_xticks([], minor=True)
    axis.tick_params(axis="x", labelsize=7.5)
    _plain(axis, "both")


def _plain(axis: Any, grid: str) -> None:
    axis.grid(True, axis=grid, color="#e4e4e4", linewidth=0.8)
    axis.set_axisbelow(True)
    axis.spines[["top", "right"]].set_visible(False)


PICTURES: tuple[tuple[str, str, str, Callable[[Found], Any]], ...] = (
    ("bench_share.png", "Share of the limit for each workload and contender", "Training, in short", shares),
    ("bench_batch.png", "Throughput against batch size for each backend", "Batch size", throughput),
    ("bench_gpu.png", "Batch size and width from which the GPU is faster", "Batch size", overtaking),
)
