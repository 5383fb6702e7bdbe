"""What the tests of bad input share: an error is of the right kind, says the right thing, and nothing has changed."""

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from fitting import assert_same, state_of

import mlpcore as mc

NAN, INF = math.nan, math.inf
ADVICE = "encode texts and categories, count days or seconds for dates and durations, or drop them$"
KINDS = f"expected real numbers; {ADVICE}"
GAPS = "drop these rows or fill the gaps first$"


def changed(values: np.ndarray, at: Any, to: Any) -> np.ndarray:
    values = np.array(values, dtype=None if isinstance(to, float) else object)
    values[at] = to
    return values


def refused(model: mc.Model, act: Callable[[], Any], error: type[Exception], said: str) -> str:
    """The message of the error; nothing has changed, and the model trains on."""
    before, metrics, progress = state_of(model), dict(model.metrics), model.rate_scale
    with pytest.raises(error, match=said) as caught:
        act()
    assert type(caught.value) is error and isinstance(caught.value, (mc.MlpcoreError, ValueError))
    assert_same(state_of(model), before)
    assert model.metrics == metrics and model.rate_scale == progress
    text = str(caught.value)
    assert "\n" not in text and not text.endswith(" ")
    return text
