"""DateEncoder: dates and times as a trend and as places on the circles of the year, the month, the week and the day."""

from dataclasses import dataclass
from typing import Any, Self

import numpy as np

from mlpcore.tabular.numeric import NumericEncoder
from mlpcore.tabular.stored import check_field, check_list, damaged

DAY = 86_400.0
LENGTHS = {"year": 366 * DAY, "month": 31 * DAY, "week": 7 * DAY, "day": DAY}
MONDAY = np.datetime64("1970-01-05", "us")


@dataclass(frozen=True)
class DateEncoder:
    """Dates (n,) as a trend, and the sine and cosine of the phase in each of ``cycles``.

    The trend is a `NumericEncoder` of seconds since 1970, with gaps filled and indicated; it is bounded, so that dates
    after the training rows are not far from them. A phase is the elapsed share of the year, month, week (from Monday)
    or day. Cycles that do not fit into the span of the training rows, or of which these show a single phase (the day,
    of dates without a time), are left out. Sine and cosine of a missing date are 0.
    """

    trend: NumericEncoder
    cycles: tuple[str, ...]

    @classmethod
    def fit(cls, values: np.ndarray) -> Self:
        """The encoder of training values (n,): datetime64, NaT where missing."""
        seconds, present = seconds_of(values), values[~np.isnat(values)]
        span = float(np.ptp(seconds[~np.isnan(seconds)])) if len(present) else 0.0
        cycles = [name for name, length in LENGTHS.items() if span >= length and np.ptp(phase(present, name)) > 0]
        return cls(NumericEncoder.fit(seconds), tuple(cycles))

    def names(self, column: str) -> list[str]:
        """The names of the encoded columns."""
        waves = [f"{column} ({wave} of the {cycle})" for cycle in self.cycles for wave in ("sine", "cosine")]
        return [*self.trend.names(column), *waves]

    def transform(self, values: np.ndarray) -> np.ndarray:
        """The encoded columns (n, c) as float64."""
        missing = np.isnat(values)
        known, columns = np.where(missing, MONDAY, values), [self.trend.transform(seconds_of(values))]
        for cycle in self.cycles:
            angle = 2 * np.pi * phase(known, cycle)
            columns.append(np.where(missing[:, None], 0.0, np.column_stack([np.sin(angle), np.cos(angle)])))
        return np.hstack(columns)

    def to_json(self) -> dict[str, Any]:
        """The encoder as JSON values."""
        return {"trend": self.trend.to_json(), "cycles": list(self.cycles)}

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> Self:
        """The encoder of `to_json`; ModelFileError for other values."""
        cycles = tuple(check_list(data, "cycles", str))
        if not set(cycles) <= set(LENGTHS):
            damaged("cycles", repr(cycles)[:80])
        return cls(NumericEncoder.from_json(check_field(data, "trend", dict)), cycles)


def seconds_of(values: np.ndarray) -> np.ndarray:
    """Seconds since 1970 as float64, NaN for NaT."""
    return (values.astype("datetime64[us]") - np.datetime64(0, "us")) / np.timedelta64(1, "s")


def phase(values: np.ndarray, cycle: str) -> np.ndarray:
    """The elapsed share of the year, month, week or day, in [0, 1)."""
    if cycle in ("year", "month"):
        begin = values.astype(f"datetime64[{cycle[0].upper()}]")
        length = (begin + 1).astype("datetime64[us]") - begin.astype("datetime64[us]")
        return (values - begin.astype("datetime64[us]")) / length
    return ((values - MONDAY) / np.timedelta64(1, "s") % LENGTHS[cycle]) / LENGTHS[cycle]
