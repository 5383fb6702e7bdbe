"""DateEncoder: dates and times as a trend and as places on the circles of the year, the month, the week and the day."""

from dataclasses import dataclass
from typing import Any, Self

import numpy as np

from mlpcore.namespace import namespace
from mlpcore.tabular.numeric import NumericEncoder
from mlpcore.tabular.stored import check_field, check_list, damaged
from mlpcore.typing import Array

DAY = 86_400.0
LENGTHS = {"year": 366 * DAY, "month": 31 * DAY, "week": 7 * DAY, "day": DAY}
MICROSECONDS = 1_000_000  # of a second
MONDAY = 4 * 86_400 * MICROSECONDS  # 1970-01-05


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
        moments = microseconds_of(present)
        cycles = [name for name, length in LENGTHS.items() if span >= length and np.ptp(phase(moments, name)) > 0]
        return cls(NumericEncoder.fit(seconds), tuple(cycles))

    def names(self, column: str) -> list[str]:
        """The names of the encoded columns."""
        waves = [f"{column} ({wave} of the {cycle})" for cycle in self.cycles for wave in ("sine", "cosine")]
        return [*self.trend.names(column), *waves]

    def transform(self, values: np.ndarray) -> np.ndarray:
        """The encoded columns (n, c) as float64."""
        return np.column_stack(self.columns(seconds_of(values), microseconds_of(values)))

    def columns(self, seconds: Array, moments: Array) -> list[Array]:
        """The encoded columns, each of the shape of the dates: plain Array API code, which ONNX models have too.

        The dates are seconds since 1970 as float64, NaN where missing, and again whole microseconds as int64.
        """
        xp, columns = namespace(seconds), self.trend.columns(seconds)
        missing = xp.isnan(seconds)
        for cycle in self.cycles:
            angle = 2 * np.pi * phase(moments, cycle)
            columns += [xp.where(missing, 0.0, wave) for wave in (xp.sin(angle), xp.cos(angle))]
        return columns

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


def microseconds_of(values: np.ndarray) -> np.ndarray:
    """Microseconds since 1970 as int64, 0 for NaT."""
    moments = values.astype("datetime64[us]").astype(np.int64)
    moments[np.isnat(values)] = 0
    return moments


def rounded(seconds: Array) -> Array:
    """Seconds since 1970 as whole microseconds in int64, 0 for NaN."""
    xp = namespace(seconds)
    return xp.astype(xp.round(xp.where(xp.isnan(seconds), 0.0, seconds) * MICROSECONDS), xp.int64)


def phase(moments: Array, cycle: str) -> Array:
    """The elapsed share of the year, month, week or day, in [0, 1), of microseconds since 1970 as int64."""
    xp = namespace(moments)
    if cycle in ("week", "day"):
        return xp.astype(moments - MONDAY, xp.float64) / MICROSECONDS % LENGTHS[cycle] / LENGTHS[cycle]
    day = 86_400 * MICROSECONDS
    days = moments // day
    place, length = (day_of_year if cycle == "year" else day_of_month)(days)
    return xp.astype((place * day + moments - days * day), xp.float64) / xp.astype(length * day, xp.float64)


def day_of_year(days: Array) -> tuple[Array, Array]:
    """The day of its year, from 0, of days since 1970 (int64), and the number of days of the year."""
    since, month, leap = _since_march(days)
    return namespace(days).where(month < 10, since + 59 + leap, since - 306), 365 + leap


def day_of_month(days: Array) -> tuple[Array, Array]:
    """The day of its month, from 0, of days since 1970 (int64), and the number of days of the month."""
    since, month, leap = _since_march(days)
    begin, end = (153 * month + 2) // 5, (153 * month + 155) // 5
    return since - begin, namespace(days).where(month == 11, 28 + leap, end - begin)


def _since_march(days: Array) -> tuple[Array, Array, Array]:
    """Days since the last 1 March, whole months since then, and whether the year of the calendar is a leap year.

    A year from March ends with its leap day, if it has one, and its months begin at ``(153 month + 2) // 5``.
    Source: Hinnant (2014), "chrono-compatible low-level date algorithms".
    """
    xp = namespace(days)
    day = (days + 719_468) % 146_097  # since 1 March 0000, in the 400 years after which the calendar is the same
    year = (day - day // 1460 + day // 36_524 - day // 146_096) // 365
    since = day - (365 * year + year // 4 - year // 100)
    month = (5 * since + 2) // 153
    year = year + xp.astype(month >= 10, xp.int64)
    leap = (year % 4 == 0) & ((year % 100 != 0) | (year % 400 == 0))
    return since, month, xp.astype(leap, xp.int64)
