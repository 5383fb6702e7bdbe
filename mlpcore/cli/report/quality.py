"""The measures of the network beside those of the baselines, and what they say."""

import math

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
    (who, network), *baselines = results.measures.items()
    main, value = next(iter(network.items()))
    if not math.isfinite(value):
        return f"The {escape(main)} is not defined on these {len(results.y):,} rows, so nothing can be compared by it."
    parts = [_compared(value, name, values.get(main, math.nan), results) for name, values in baselines]
    compared = " and ".join(filter(None, parts))
    text = f"This network has {escape(main)} {number(value)}{_spread(results.errors.get(who, math.nan))}"
    text += f", {compared}." if compared else "."
    if "±" not in text:
        return text
    text += " After ± is one standard error."
    if compared:
        text += " That of a difference is of a paired comparison: it is computed from the differences of both ways to "
        text += "predict in each row. Differences of less than two standard errors may be chance."
    return text


def _compared(value: float, who: str, other: float, results: Results) -> str:
    """``better than a constant (0.5) by 0.4 ± 0.1``; "" for a value that is not defined."""
    if not math.isfinite(other):
        return ""
    error = _spread(results.errors.get(who, math.nan))
    if value == other:
        return f"the same as {escape(who)}{error}"
    word = "better" if value > other else "worse"
    return f"<strong>{word}</strong> than {escape(who)} ({number(other)}) by {number(abs(value - other))}{error}"


def _spread(error: float) -> str:
    return f" ± {number(error)}" if math.isfinite(error) else ""
