"""What `mlpcore crossover` has measured: its points, what it was measured with, and the checks of its text."""

import datetime
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from mlpcore.backends.choice.rule import Point, threshold

FORMAT = 1
DTYPES = ("float32", "float64")
STEP, PREDICTION = WHATS = ("step", "prediction")
MOST_POINTS, LARGEST = 1000, 1e18
# What times depend on: a file is for another machine if one of these differs.
SETUP = ("mlpcore", "numpy", "processor", "threads", "card", "driver", "cupy")


class Unusable(ValueError):
    """A file that holds no measurement; the message says why."""


@dataclass(frozen=True)
class Measurement:
    """A measurement: ``points[dtype, what]``, the date as text, and what it was measured with."""

    points: Mapping[tuple[str, str], tuple[Point, ...]]
    setup: Mapping[str, str]
    date: str

    def threshold(self, dtype: str, what: str) -> float | None:
        """The FLOPs from which on the GPU should be chosen; None if this was not measured."""
        points = self.points.get((dtype, what), ())
        return threshold(points) if points else None

    def difference(self, setup: Mapping[str, str]) -> str:
        """What has changed since the measurement; empty if nothing has."""
        changed = [name for name in SETUP if self.setup[name] != setup[name]]
        return f"{' and '.join(changed)} changed" if changed else ""


def parsed(data: bytes) -> Measurement:
    """The measurement in a JSON text; Unusable for any other text, whatever it is."""
    try:
        document = json.loads(data)
    except (ValueError, RecursionError):
        raise Unusable("it is no JSON text") from None
    if not isinstance(document, dict) or document.get("format") != FORMAT:
        raise Unusable("it has another format")
    date, setup, rows = (document.get(name) for name in ("date", "setup", "measurements"))
    if not isinstance(setup, dict) or not all(isinstance(setup.get(name), str) for name in SETUP):
        raise Unusable("it does not say what was measured with")
    if not isinstance(rows, list) or not 0 < len(rows) <= MOST_POINTS:
        raise Unusable("it has no measurements, or too many")
    points: dict[tuple[str, str], tuple[Point, ...]] = {}
    for row in rows:
        key, point = _row(row)
        points[key] = (*points.get(key, ()), point)
    return Measurement(points, {name: setup[name] for name in SETUP}, _date(date))


def _row(row: Any) -> tuple[tuple[str, str], Point]:
    """The key and the point of a row."""
    if not isinstance(row, dict) or row.get("dtype") not in DTYPES or row.get("what") not in WHATS:
        raise Unusable("a row is neither a step nor a prediction in float32 or float64")
    values: list[Any] = [row.get(name) for name in Point._fields]
    numbers = [float(x) for x in values if type(x) in (int, float) and 0 < x < LARGEST]  # NaN is in no range
    if len(numbers) < len(values) or min(numbers) < 1 / LARGEST:
        raise Unusable("a row has times or operations that are no positive numbers")
    return (row["dtype"], row["what"]), Point(*numbers)


def _date(date: Any) -> str:
    """The date, checked, as it is printed."""
    try:
        return datetime.date.fromisoformat(date).isoformat()
    except (TypeError, ValueError):
        raise Unusable("it has no date") from None
