"""Every schedule refuses each field that it cannot work with, by its own name and the field's."""

import math

import pytest

from mlpcore.errors import ConfigurationError
from mlpcore.schedules import (
    SCHEDULES,
    CosineDecay,
    CosLog,
    ExponentialDecay,
    FlatCosine,
    InverseScaling,
    OneCycle,
    PolynomialDecay,
    StepDecay,
    WarmUp,
)

GOOD = {
    StepDecay: {"initial": 0.1, "every": 10, "factor": 0.5},
    ExponentialDecay: {"initial": 0.1, "every": 10, "factor": 0.5},
    CosineDecay: {"initial": 0.1, "steps": 10, "final": 0.0},
    FlatCosine: {"initial": 0.1, "steps": 10, "flat": 0.5},
    CosLog: {"peak": 0.1, "steps": 10, "cycles": 4},
    PolynomialDecay: {"initial": 0.1, "steps": 10, "power": 1.0, "final": 0.0},
    InverseScaling: {"initial": 0.1, "power": 0.5},
    WarmUp: {"learning_rate": 0.1, "steps": 10, "start": 0.0},
    OneCycle: {"peak": 0.1, "steps": 10, "rise": 0.3, "initial_divisor": 25.0, "final_divisor": 1e4},
}


@pytest.mark.parametrize("kind", SCHEDULES)
def test_wrong_fields_are_refused_by_name(kind):
    assert set(GOOD[kind]) == set(kind.__dataclass_fields__)
    kind(**GOOD[kind])
    for field in GOOD[kind]:
        whole = field in ("steps", "every", "cycles")
        for value in (-1, "much", math.nan, *((0, 2.5) if whole else (math.inf,))):
            with pytest.raises(ConfigurationError, match=f"{kind.__name__}: {field} is"):
                kind(**{**GOOD[kind], field: value})


def test_a_cycle_too_short_to_rise_is_refused():
    with pytest.raises(ConfigurationError, match=r"rise \* steps is 0.9, expected more than 1"):
        OneCycle(0.1, 3)
