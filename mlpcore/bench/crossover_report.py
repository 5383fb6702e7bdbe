"""The result of a measurement of the crossover as text and as JSON."""

import datetime
import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from mlpcore.backends.choice.measurement import FORMAT, PREDICTION, STEP
from mlpcore.backends.choice.rule import Point, errors, threshold
from mlpcore.bench.about import about
from mlpcore.bench.crossover import Row
from mlpcore.bench.tables import TextTable, as_text

HEAD = ("width", "batch", "FLOPs", "NumPy, us", "GPU, us", "NumPy / GPU")
TITLES = {STEP: "a training step (Adam)", PREDICTION: "a prediction"}


def points_of(rows: Iterable[Row]) -> list[Point]:
    """The points of rows of one dtype and kind."""
    return [Point(row.flops, row.numpy, row.gpu) for row in rows]


def grouped(rows: Iterable[Row]) -> dict[tuple[str, str], list[Row]]:
    """The rows by dtype and kind."""
    groups: dict[tuple[str, str], list[Row]] = {}
    for row in rows:
        groups.setdefault((row.dtype, row.what), []).append(row)
    return groups


def as_lines(rows: Sequence[Row]) -> str:
    """A table for each dtype and kind, and below it the rule."""
    return "\n\n".join(
        f"{_table(f'{TITLES[what]} in {dtype}', group)}\n{rule(group)}"
        for (dtype, what), group in grouped(rows).items()
    )


def _table(title: str, rows: Sequence[Row]) -> str:
    cells = [
        (
            *(f"{row.widths[0]}", f"{row.batch}", f"{row.flops:.2g}"),
            *(f"{1e6 * row.numpy:.4g}", f"{1e6 * row.gpu:.4g}", f"{row.numpy / row.gpu:.3g}"),
        )
        for row in rows
    ]
    return as_text(TextTable(title, HEAD, cells))


def rule(rows: Sequence[Row]) -> str:
    """The rule that follows from rows of one dtype and kind, and where it is wrong."""
    points = points_of(rows)
    limit = threshold(points)
    wrong = errors(points, limit)
    said = "the GPU pays for no measured size" if limit == float("inf") else f"the GPU pays from {limit:.2g} FLOPs on"
    if not wrong.number:
        return f"{said}; this is right at all {len(points)} sizes"
    return f"{said}; this is wrong at {wrong.number} of {len(points)} sizes, by a factor of {wrong.factor:.2g} at most"


def document(rows: Sequence[Row], setup: Mapping[str, str], seconds: float) -> dict[str, Any]:
    """The measurement as JSON values: rows in seconds and FLOPs, what they depend on, and where they come from."""
    return {
        "format": FORMAT,
        "date": datetime.date.today().isoformat(),
        "setup": dict(setup),
        "about": about("cuda"),
        "seconds": round(seconds, 1),
        "measurements": [row._asdict() for row in rows],
    }


def as_json(content: Mapping[str, Any]) -> str:
    """The JSON text of a document, with a row on each line."""
    lines = [json.dumps(row) for row in content["measurements"]]
    others = json.dumps({name: value for name, value in content.items() if name != "measurements"}, indent=1)
    return f'{others[:-2]},\n "measurements": [\n  {("," + chr(10) + "  ").join(lines)}\n ]\n}}\n'
