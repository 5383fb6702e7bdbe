"""How the predictions of classes are right and wrong: the confusion matrix, and the calibration."""

from typing import Any

import numpy as np

from mlpcore.cli.report.markup import SHORT, figure, name_of, number, paragraph, pictures, row, section, table
from mlpcore.cli.report.pictures import FIRST, MUTED, dress, picture
from mlpcore.cli.report.results import Results

MOST = 20  # classes in the confusion matrix
BINS = 10  # of probabilities


def classes(results: Results) -> str:
    """The section with confusion matrix and calibration."""
    if not len(results.y):
        return ""
    return section("Right and wrong predictions", confusion(results), pictures(calibration(results)))


def confusion(results: Results) -> str:
    """The confusion matrix as a table: counts, and shares of the rows of each class."""
    labels, predicted = results.labels, results.prediction.argmax(axis=1)
    counts = np.zeros((len(labels), len(labels)), dtype=np.int64)
    np.add.at(counts, (results.y, predicted), 1)
    wrong = counts.sum(axis=0) + counts.sum(axis=1) - 2 * np.diag(counts)
    shown = np.sort(np.argsort(-wrong, kind="stable")[:MOST])
    others = len(labels) > MOST
    lines = []
    for label in shown:
        total, cells = int(counts[label].sum()), [*counts[label, shown]]
        cells += [total - sum(cells)] * others
        texts = [_cell(int(count), total, column == label) for column, count in zip([*shown, -1], cells, strict=False)]
        lines.append(row(name_of(labels[label], SHORT), *texts, f"{total:,}"))
    heads = [
        "true ↓<br>predicted →",
        *(name_of(labels[label], SHORT) for label in shown),
        *["another class"] * others,
        "rows",
    ]
    caption = "Each row is a true class and each column a predicted one: counts, and shares of the row. Right "
    caption += "predictions are on the diagonal, which is framed; the darker a cell, the larger its share."
    if others:
        caption += f" Shown are the {MOST} of {len(labels)} classes with most errors."
    return figure(table("Confusion matrix", heads, lines, "confusion"), caption, "wide")


def _cell(count: int, total: int, right: bool) -> str:
    """Count and share; the share colours the cell."""
    share = count / total if total else 0.0
    frame = ' data-right=""' if right else ""
    text = f"{count:,}<small>{100 * share:.0f} %</small>" if count else "·"
    return f'<span{frame} style="--share:{50 * share:.0f}%">{text}</span>'


def binned(probability: np.ndarray, happened: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """In bins of equal width of the probability: counts, mean probabilities, and shares of the rows where it happened.

    NaN where a bin is empty.
    """
    bins = np.minimum((probability * BINS).astype(int), BINS - 1)
    counts, sums, hits = (
        np.bincount(bins, weights=weights, minlength=BINS) for weights in (None, probability, happened.astype(float))
    )
    with np.errstate(invalid="ignore"):
        return counts, sums / counts, hits / counts


def calibration_error(counts: np.ndarray, means: np.ndarray, shares: np.ndarray) -> float:
    """The expected calibration error: ``sum_b n_b / n |share_b - mean_b|`` over the bins that have rows.

    Source: Guo, Pleiss, Sun & Weinberger (2017), "On calibration of modern neural networks", section 2.
    """
    return float(np.nansum(counts * np.abs(shares - means)) / np.sum(counts))


def calibration(results: Results) -> str:
    """The reliability diagram: of the second of two classes, or of the class that is predicted."""
    labels, y, p = results.labels, results.y, results.prediction.astype(np.float64)
    two = len(labels) == 2
    probability = p[:, 1] if two else p.max(axis=1)
    known = np.isfinite(probability)
    happened = (y == 1 if two else p.argmax(axis=1) == y)[known]
    probability = np.clip(probability[known], 0.0, 1.0)
    if not len(probability):
        return paragraph("No probability is a finite number, so there is no reliability diagram.")
    counts, means, shares = binned(probability, happened)
    of = f"the class “{name_of(labels[1])}”" if two else "the predicted class"
    error = calibration_error(counts, means, shares)

    def draw(panel: Any) -> None:
        above, below = panel.subplots(2, 1, sharex=True, height_ratios=(3, 1))
        dress(above, "", "observed share")
        dress(below, "predicted probability", "rows")
        above.plot([0, 1], [0, 1], color=MUTED, linestyle="--", linewidth=1)
        full = counts > 0
        low, high = interval(shares[full], counts[full])
        spread = [np.maximum(shares[full] - low, 0), np.maximum(high - shares[full], 0)]
        above.errorbar(means[full], shares[full], spread, fmt="o", color=FIRST, markersize=5, linewidth=1.2)
        above.set(xlim=(-0.02, 1.02), ylim=(-0.02, 1.02))
        below.bar((np.arange(BINS) + 0.5) / BINS, counts, width=0.9 / BINS, color=FIRST)
        below.yaxis.get_major_locator().set_params(integer=True, nbins=3)

    caption = f"Above: in ten bins of the predicted probability of {of}, the share of rows in which it was true. "
    caption += "Points on the dashed line are probabilities that can be believed; below it they are too large. Bars "
    caption += "are 95 % intervals. Below: the rows in each bin. The expected calibration error, the mean distance "
    caption += f"from the line weighted by the rows in the bins, is {number(error)}."
    return figure(picture("calibration", "Reliability diagram", draw, (4.6, 4.2)), caption)


def interval(share: np.ndarray, n: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The 95 % interval of a probability of which n trials gave this share. Source: Wilson (1927), JASA 22, 209-212."""
    z = 1.96
    center = (share + z * z / (2 * n)) / (1 + z * z / n)
    half = z / (1 + z * z / n) * np.sqrt(share * (1 - share) / n + z * z / (4 * n * n))
    return np.maximum(center - half, 0.0), np.minimum(center + half, 1.0)
