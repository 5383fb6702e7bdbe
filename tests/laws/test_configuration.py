"""Members are values: they compare, hash, print as the call that makes them, travel by pickle, and do not change."""

import dataclasses
import math
import pickle

import pytest
from members import CONFIGURATIONS

from mlpcore import initializers, layers, losses, optimizers, schedules

NAMES = {
    name: thing
    for module in (initializers, layers, losses, optimizers, schedules)
    for name, thing in vars(module).items()
    if isinstance(thing, type)
}


@pytest.mark.parametrize("name", CONFIGURATIONS)
def test_repr_is_the_call_that_makes_it(name):
    made = CONFIGURATIONS[name]
    again = eval(repr(made), {"__builtins__": {}}, {**NAMES, "inf": math.inf})
    assert again == made
    assert hash(again) == hash(made)
    assert repr(again) == repr(made)


@pytest.mark.parametrize("name", CONFIGURATIONS)
def test_pickle(name):
    made = CONFIGURATIONS[name]
    again = pickle.loads(pickle.dumps(made))
    assert again == made
    assert hash(again) == hash(made)


@pytest.mark.parametrize("name", CONFIGURATIONS)
def test_frozen(name):
    made = CONFIGURATIONS[name]
    for field in dataclasses.fields(made):
        with pytest.raises(dataclasses.FrozenInstanceError):
            setattr(made, field.name, None)
        with pytest.raises(dataclasses.FrozenInstanceError):
            delattr(made, field.name)
    with pytest.raises(dataclasses.FrozenInstanceError):
        made.something_new = 1


@pytest.mark.parametrize("name", CONFIGURATIONS)
def test_every_field_counts(name):
    fields = dataclasses.fields(CONFIGURATIONS[name])
    assert all(field.init and field.compare and field.hash in (None, True) for field in fields)


def test_different_configurations_differ():
    different = {repr(made): made for made in CONFIGURATIONS.values()}
    assert len(set(different.values())) == len(different)
