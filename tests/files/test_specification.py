"""Configurations to JSON and back: every registered class, every number, by names that are unique."""

import json
from typing import Any

import members
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlpcore import layers as nn
from mlpcore.files.specification import REGISTRY, decode, encode, parse
from mlpcore.initializers import Constant
from mlpcore.optimizers import Adam


def role_of(member: Any) -> Any:
    return next(role for role, classes in REGISTRY.items() if type(member) in classes)


MADE = {repr(member): member for member in members.CONFIGURATIONS.values()} | {
    repr(member): member
    for member in (Constant(2.5) if cls is Constant else cls() for cls in members.init.INITIALIZERS)
}


def test_every_registered_class_is_tested() -> None:
    assert {type(member) for member in MADE.values()} == {cls for classes in REGISTRY.values() for cls in classes}


@pytest.mark.parametrize("member", MADE.values(), ids=MADE.keys())
def test_a_configuration_comes_back_from_json(member: Any) -> None:
    text = json.dumps(encode(member, "it"))
    back = decode(parse(text, "it"), role_of(member), "it")
    assert back == member and type(back) is type(member) and repr(back) == repr(member)


@given(st.floats(min_value=1e-300, max_value=1e300), st.integers(1, 2**40), st.booleans())
def test_numbers_come_back_exactly(number: float, count: int, flag: bool) -> None:
    for member in (Adam(number), nn.Linear(count, 1, bias=flag, bias_init=Constant(-number))):
        back = decode(parse(json.dumps(encode(member, "it")), "it"), role_of(member), "it")
        assert back == member and repr(back) == repr(member)


def test_names_are_unique_among_all_registered_classes() -> None:
    names = [cls.__name__ for classes in REGISTRY.values() for cls in classes]
    assert len(names) == len(set(names))
