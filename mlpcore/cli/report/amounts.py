"""How far predictions of amounts are off: against the true amounts, and the residuals."""

from typing import Any

import numpy as np

from mlpcore.cli.report.markup import figure, name_of, number, paragraph, pictures, section
from mlpcore.cli.report.pictures import FIRST, INK, axes_of, picture
from mlpcore.cli.report.results import Results
from mlpcore.random import Stream

POINTS = 1000  # in a picture
BINS = 40


def amounts(results: Results) -> str:
    """The section with predictions against true amounts, and the residuals."""
    y, z = (np.asarray(one, dtype=np.float64) for one in (results.y, results.prediction))
    with np.errstate(over="ignore", invalid="ignore"):
        known = np.isfinite(y - z)
    y, z = y[known], z[known]
    if not len(y):
        return ""
    residuals, few = y - z, np.sort(Stream(0, "report").order(len(y))[:POINTS])
    unit = f"“{name_of(results.description.target.name)}”"
    lost = int((~known).sum())
    note = f"{lost:,} rows whose prediction is not finite are left out. " if lost else ""
    if len(few) < len(y):
        note += f"The points are {len(few):,} of the {len(y):,} rows, drawn at random; the histogram has all."

    def against(panel: Any) -> None:
        axes = axes_of(panel, "true amount", "prediction")
        ends = [min(y[few].min(), z[few].min()), max(y[few].max(), z[few].max())]
        axes.plot(ends, ends, color=INK, linewidth=1)
        _points(axes, y[few], z[few])

    def histogram(panel: Any) -> None:
        axes = axes_of(panel, "residual: true amount − prediction", "rows")
        axes.hist(residuals, bins=min(BINS, max(5, int(np.sqrt(len(y))))), color=FIRST, rwidth=0.92)
        axes.axvline(0, color=INK, linewidth=1)

    def spread(panel: Any) -> None:
        axes = axes_of(panel, "prediction", "residual")
        axes.axhline(0, color=INK, linewidth=1)
        _points(axes, z[few], residuals[few])

    low, middle, high = np.quantile(residuals, [0.05, 0.5, 0.95])
    figures = [
        figure(
            picture("against", "Predictions against true amounts", against),
            f"Each point is a row, in the units of {unit}. On the line the prediction is exact; above it, it is too "
            "large.",
        ),
        figure(
            picture("histogram", "Histogram of the residuals", histogram),
            f"A bulk away from 0 means that predictions are too small (right) or too large (left). The median is "
            f"{number(middle)}, and nine of ten residuals are between {number(low)} and {number(high)}.",
        ),
        figure(
            picture("spread", "Residuals against predictions", spread),
            "A band of even height around 0 is good. A bend means that something was not learnt; a funnel, that errors "
            "grow with the prediction.",
        ),
    ]
    return section("Predictions and residuals", pictures(*figures), paragraph(note) if note else "")


def _points(axes: Any, x: np.ndarray, y: np.ndarray) -> None:
    axes.plot(x, y, "o", color=FIRST, markersize=3.5, markeredgewidth=0, alpha=0.6)
