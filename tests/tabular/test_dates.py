"""Dates as a trend and circles: phases against the calendar, spans, gaps and files."""

import datetime
import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlpcore.errors import ModelFileError
from mlpcore.tabular.dates import DateEncoder, microseconds_of, phase, seconds_of

DAYS = np.arange("2020-01-01", "2023-06-01", dtype="datetime64[D]").astype("datetime64[us]")
MOMENTS = st.datetimes(datetime.datetime(1600, 1, 1), datetime.datetime(2400, 1, 1))


def dates(*entries):
    return np.array(entries, dtype="datetime64[us]")


@given(MOMENTS)
def test_phases_are_those_of_the_calendar(moment):
    day = (moment - moment.replace(hour=0, minute=0, second=0, microsecond=0)) / datetime.timedelta(days=1)
    year, month = datetime.datetime(moment.year, 1, 1), datetime.datetime(moment.year, moment.month, 1)
    next_month = (month + datetime.timedelta(days=32)).replace(day=1)
    expected = {
        "year": (moment - year) / (datetime.datetime(moment.year + 1, 1, 1) - year),
        "month": (moment - month) / (next_month - month),
        "week": (moment.weekday() + day) / 7,
        "day": day,
    }
    for cycle, share in expected.items():
        assert phase(microseconds_of(dates(moment)), cycle)[0] == pytest.approx(share, abs=1e-9)


def test_columns_and_their_names():
    encoder = DateEncoder.fit(DAYS)
    assert encoder.cycles == ("year", "month", "week")  # no day: there is one phase
    assert encoder.names("t")[:3] == ["t", "t (sine of the year)", "t (cosine of the year)"]
    x = encoder.transform(DAYS)
    assert x.shape == (len(DAYS), 7) and np.all(np.diff(x[:, 0]) > 0)
    np.testing.assert_allclose(x[:, 1] ** 2 + x[:, 2] ** 2, 1)
    np.testing.assert_allclose(x[np.datetime64("2021-01-01") == DAYS, 1:3], [[0, 1]], atol=1e-12)


@pytest.mark.parametrize(
    ("step", "count", "cycles"),
    [("h", 48, ("day",)), ("h", 24 * 10, ("week", "day")), ("D", 40, ("month", "week")), ("D", 5, ()), ("s", 50, ())],
)
def test_cycles_that_do_not_fit_into_the_span_are_left_out(step, count, cycles):
    moments = np.datetime64("2024-05-01", "us") + np.arange(count).astype(f"timedelta64[{step}]")
    assert DateEncoder.fit(moments).cycles == cycles


def test_gaps_have_an_indicator():
    encoder = DateEncoder.fit(np.append(DAYS, np.datetime64("NaT")))
    x = encoder.transform(dates("NaT", DAYS[3]))
    assert encoder.names("t")[:2] == ["t", "t is missing"]
    assert x[0].tolist() == [0.0, 1.0, *[0.0] * 6] and x[1, 1] == 0
    without = DateEncoder.fit(DAYS).transform(dates("NaT"))
    assert np.all(without == 0)
    assert DateEncoder.fit(dates("NaT", "NaT")).transform(dates("NaT", "2024-01-01")).shape == (2, 2)


def test_seconds_are_exact():
    assert seconds_of(dates("1970-01-01T00:00:01.5", "1969-12-31T23:59:59")).tolist() == [1.5, -1.0]


@given(st.lists(MOMENTS | st.none(), min_size=1, max_size=20), st.lists(MOMENTS | st.none(), min_size=1))
def test_every_date_is_encoded_the_same_after_a_file(column, new):
    encoder = DateEncoder.fit(dates(*column))
    again = DateEncoder.from_json(json.loads(json.dumps(encoder.to_json(), allow_nan=False)))
    assert again == encoder
    for values in (dates(*column), dates(*new)):
        x = encoder.transform(values)
        assert (
            x.shape == (len(values), len(encoder.names("t")))
            and np.all(np.isfinite(x))
            and np.all(np.abs(x[:, 0]) <= 3)
        )
        assert x.tobytes() == again.transform(values).tobytes()


@pytest.mark.parametrize("damage", [{"cycles": ["moon"]}, {"cycles": "year"}, {"trend": None}, {"trend": {}}])
def test_damaged_values_are_refused(damage):
    with pytest.raises(ModelFileError, match="is damaged"):
        DateEncoder.from_json(DateEncoder.fit(DAYS).to_json() | damage)
