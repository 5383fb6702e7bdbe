"""Frames for tests of tables: drawn ones with any kinds of columns, and one with everything that is ugly."""

import dataclasses
import datetime
from typing import Any

import numpy as np
from hypothesis import strategies as st

from mlpcore.tabular.recipes import RECIPES, PlainMLP

RECIPE = {
    "mlp": PlainMLP(hidden=(8,), epochs=2, batch_size=64),
    "realmlp": dataclasses.replace(RECIPES["realmlp"], hidden=(8,), epochs=2, batch_size=64),
    "tabm": dataclasses.replace(RECIPES["tabm"], hidden=(8,), members=3, epochs=2, batch_size=64),
}
RANDOM = np.random.default_rng(1)
ROWS = 120


def texts(*entries):
    column = np.empty(len(entries), dtype=object)
    column[:] = entries
    return column


NUMBERS = st.floats(-1e300, 1e300) | st.none() | st.integers(-5, 5)
CELLS = {
    "numeric": NUMBERS,
    "categorical": st.sampled_from(["a", "b", "é", "", None]),
    "date": st.datetimes(datetime.datetime(1900, 1, 1), datetime.datetime(2100, 1, 1)) | st.none(),
}


@st.composite
def tables(draw):
    """Columns of any kind with gaps, and later rows with unseen levels, in another order and with another column."""
    told = draw(st.lists(st.sampled_from(sorted(CELLS)), min_size=1, max_size=5))
    rows, later = draw(st.integers(2, 15)), draw(st.integers(1, 5))
    columns = {f"c{i}": draw(st.lists(CELLS[kind], min_size=rows, max_size=rows)) for i, kind in enumerate(told)}
    new = {
        name: draw(st.lists(CELLS[kind], min_size=later, max_size=later))
        for name, kind in zip(columns, told, strict=True)
    }
    new = {name: ["unseen" if cell == "" else cell for cell in cells] for name, cells in new.items()}
    extra = {"extra": [None] * later}
    order = draw(st.permutations([*columns, *extra]))
    kinds = dict(zip(columns, told, strict=True))
    return columns, {name: (new | extra)[name] for name in order}, kinds


def mixed(rows: int, unseen: bool = False) -> dict[str, Any]:
    """Gaps everywhere, heavy tails, dates with times, and names that no program would choose."""
    size, town = (
        RANDOM.standard_t(1, size=rows) * 1e4,
        RANDOM.choice(["Rome", "Ōslo", "a, b"], size=rows).astype(object),
    )
    size[::7], town[::5] = np.nan, None
    town[1::9] = "new" if unseen else "Rome"
    day = np.datetime64("2019-12-30", "us") + RANDOM.integers(0, 1000 * 86_400_000_000, rows).astype("timedelta64[us]")
    day[::11] = np.datetime64("NaT")
    flag = RANDOM.random(rows) < 0.5
    return {"größe [m/s]\n": size, "0.weight": town, "constant": day, "constant_2": flag, "X": RANDOM.normal(size=rows)}


TRAIN, TEST = mixed(ROWS), mixed(40, unseen=True)
SIGNAL = np.nan_to_num(np.arctan(TRAIN["größe [m/s]\n"])) + TRAIN["X"]
CLASSES = {
    "texts": np.where(SIGNAL > 0.5, "ö", np.where(SIGNAL > -0.5, "", "low")),
    "int64": np.digitize(SIGNAL, [-0.5, 0.5]) * 10 - 5,
    "uint8": np.digitize(SIGNAL, [-0.5, 0.5]).astype("uint8"),
    "bool": SIGNAL > 0,
    "float64": np.where(SIGNAL > 0, 1.0, 2.0),
}
