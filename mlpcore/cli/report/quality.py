"""The measures of the network beside those of the baselines, and what they say."""

import math

import numpy as np

from mlpcore.cli.report.markup import escape, figure, name_of, number, paragraph, row, section, table
from mlpcore.cli.report.results import Results

LARGER = ("accuracy", "balanced accuracy", "area under ROC", "R2")  # is better


def quality(results: Results) -> str:
    """The section with a sentence that compares the network with the baselines, and the table of the measures."""
    title = f"Quality on the {escape(results.subset)} rows"
    if not results.measures:
        return section(title, paragraph("No rows were held out, so nothing is known of the quality on new rows."))
    names = list(next(iter(results.measures.values())))
    heads = [f"{escape(name)} {'↑' if name in LARGER else '↓'}" for name in names]
    rows = [
        row(escape(who), *(number(values.get(name, math.nan)) for name in names))
        for who, values in results.measures.items()
    ]
    units = "" if results.labels else f" Errors are in the units of “{name_of(results.description.target.name)}”."
    caption = f"Each row is a way to predict. ↑: the larger the better; ↓: the smaller the better.{units}"
    content = table("Measures", ["", *heads], rows, "numbers")
    return section(title, f'<p class="verdict">{verdict(results)}</p>', figure(content, caption, "wide"))


def verdict(results: Results) -> str:
    """Whether the network is better than each baseline by the main measure, and what chance could do."""
    (_, network), *baselines = results.measures.items()
    main, value = next(iter(network.items()))
    if not math.isfinite(value):
        return f"The {escape(main)} is not defined on these {len(results.y):,} rows, so nothing can be compared by it."
    parts = [part for who, values in baselines if (part := _compared(value, who, values.get(main, math.nan)))]
    compared = f", {' and '.join(parts)}" if parts else ""
    text = f"This network has {escape(main)} {number(value)}{compared}."
    if math.isfinite(error := standard_error(results)):
        text += f" One standard error of it is {number(error)} with {len(results.y):,} rows"
        text += ": smaller differences may be chance." if parts else "."
    return text


def _compared(value: float, who: str, other: float) -> str:
    """``better than a constant (0.5) by 0.4``; "" for a value that is not defined."""
    if not math.isfinite(other):
        return ""
    if value == other:
        return f"the same as {escape(who)}"
    word = "better" if value > other else "worse"
    return f"<strong>{word}</strong> than {escape(who)} ({number(other)}) by {number(abs(value - other))}"


def standard_error(results: Results) -> float:
    """The standard error of accuracy or R2 on independent rows; NaN for fewer than two rows.

    That of an accuracy is as if two more rows were right and two more wrong, so that it is not 0 where all are right.
    Source: Agresti & Coull (1998), "Approximate is better than exact for interval estimation of binomial proportions".
    Of R2 = 1 - q, where q is the quotient of the mean squares e^2 of the errors and d^2 of the distances from the mean,
    it is ``std(e^2 - q d^2) / mean(d^2) / sqrt(n)``. Source: Cochran (1977), "Sampling techniques", section 6.4.
    """
    n = len(results.y)
    if n < 2:
        return math.nan
    if results.labels:
        share = (np.sum(results.prediction.argmax(axis=1) == results.y) + 2) / (n + 4)
        return math.sqrt(share * (1 - share) / (n + 4))
    y = results.y.astype(np.float64)
    scale = float(np.abs(y - y.mean()).max()) or 1.0  # squares of scaled amounts cannot overflow
    errors, distances = (np.square(one / scale) for one in (y - results.prediction, y - y.mean()))
    spread = float(np.mean(distances))
    if not spread:
        return math.nan
    quotient = float(np.mean(errors)) / spread
    return float(np.std(errors - quotient * distances)) / spread / math.sqrt(n - 1)
