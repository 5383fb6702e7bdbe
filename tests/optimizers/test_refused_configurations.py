"""Every optimizer refuses each field that it cannot work with, by its own name and the field's."""

import math

import pytest

from mlpcore.errors import ConfigurationError
from mlpcore.optimizers import OPTIMIZERS

WRONG = [
    (lambda kind: kind(0.0), "learning_rate"),
    (lambda kind: kind(-1), "learning_rate"),
    (lambda kind: kind("fast"), "learning_rate"),
    (lambda kind: kind(math.nan), "learning_rate"),
    (lambda kind: kind(0.1, weight_decay=-0.1), "weight_decay"),
    (lambda kind: kind(0.1, weight_decay=math.inf), "weight_decay"),
]


@pytest.mark.parametrize("kind", OPTIMIZERS)
@pytest.mark.parametrize(("make", "field"), WRONG)
def test_wrong_rates_and_decays_are_refused(kind, make, field):
    with pytest.raises(ConfigurationError, match=f"{kind.__name__}: {field} is"):
        make(kind)


@pytest.mark.parametrize("kind", OPTIMIZERS)
def test_wrong_words_of_each_kind_are_refused(kind):
    fields = kind.__dataclass_fields__
    wrong = {"beta1": 1.0, "beta2": 1.0, "alpha": 1.0, "eps": 0.0, "eps_on": "both", "rate_on": "both", "nesterov": 2}
    wrong |= {"momentum": 1.1, "momentum_decay": -1.0, "initial_accumulator": -1.0}
    assert set(fields) <= {*wrong, "learning_rate", "weight_decay"}
    for field in set(fields) & set(wrong):
        with pytest.raises(ConfigurationError, match=f"{kind.__name__}: {field} is"):
            kind(0.1, **{field: wrong[field]})
