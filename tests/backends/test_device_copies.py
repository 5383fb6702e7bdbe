"""What passes between host and device in the members' own code on CuPy: nothing. The emulated device counts it."""

from collections.abc import Callable
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from devices import emulated_device, open_place
from runs import RUNS, STEPS

from mlpcore.backends.backend import Backend
from mlpcore.trees import tree_map

pytestmark = pytest.mark.gpu


@pytest.fixture(scope="module")
def device() -> ModuleType:
    """The emulated device; a card does not say what is asked of it."""
    return emulated_device("counts copies: none of these was counted")


@pytest.fixture(scope="module")
def cupy() -> Backend:
    return open_place("cupy")


def copies(device: ModuleType, function: Callable[[], Any]) -> dict[str, int]:
    """The copies of the second call: the first compiles."""
    function()
    before = device.counts()
    function()
    after = device.counts()
    return {name: after[name] - before[name] for name in ("copies to host", "copies to device")}


NONE = {"copies to host": 0, "copies to device": 0}


# Their configuration is a table of numbers, which an eager call sends; a compiled step has it on the device
# (tests/backends/test_device_counts.py: a chunk of steps sends nothing else with them).
TABLES = ("RobustClip", "PiecewiseLinearEmbedding", "OneHot", "Concat")


@pytest.mark.parametrize("member", [*RUNS, *STEPS])
def test_a_member_sends_and_reads_nothing(member: str, device: ModuleType, cupy: Backend) -> None:
    function, arguments = STEPS[member]("float32") if member in STEPS else RUNS[member]("float32", None)
    there = tree_map(lambda leaf: cupy.asarray(np.asarray(leaf)), arguments)
    with cupy.scope("float32"):
        found = copies(device, lambda: function(*there))
    if member in {f"layer {name}" for name in TABLES}:
        assert found.pop("copies to device") > 0 and found == {"copies to host": 0}
    else:
        assert found == NONE


FUNCTIONS: dict[str, Callable[[Any, Any], Any]] = {
    "sign": lambda xp, x: xp.sign(x),
    "clip": lambda xp, x: xp.clip(x, -1.0, 1.0),
    "round": lambda xp, x: xp.round(x),
    "where": lambda xp, x: xp.where(x > 0, x, 0.5),
    "concat of 8": lambda xp, x: xp.concat([x] * 8, axis=-1),
    "concat of 9": lambda xp, x: xp.concat([x] * 9, axis=-1),
    "concat of 100": lambda xp, x: xp.concat([x] * 100),
    "sort": lambda xp, x: xp.sort(x, axis=-1),
    "take_along_axis": lambda xp, x: xp.take_along_axis(x, xp.argsort(x, axis=-1), axis=-1),
    "cumulative_sum": lambda xp, x: xp.cumulative_sum(x, axis=-1),
    "repeat": lambda xp, x: xp.repeat(x, 3, axis=0),
    "tile": lambda xp, x: xp.tile(x, (2, 2)),
    "roll": lambda xp, x: xp.roll(x, 1),
    "tril": lambda xp, x: xp.tril(x),
    "vecdot": lambda xp, x: xp.vecdot(x, x),
    "searchsorted": lambda xp, x: xp.searchsorted(xp.sort(x[0]), x[1]),
}


@pytest.mark.parametrize("name", FUNCTIONS)
def test_a_function_sends_and_reads_nothing_and_is_numpys(name: str, device: ModuleType, cupy: Backend) -> None:
    x = np.array([[0.5, -0.0, np.nan, 3.0], [-2.5, 0.0, 1.0, -7.0], [1.0, 2.0, -1.0, 4.5]])
    there, xp = cupy.asarray(x), cupy.xp
    assert copies(device, lambda: FUNCTIONS[name](xp, there)) == NONE
    host = open_place("numpy").xp
    np.testing.assert_array_equal(cupy.to_numpy(FUNCTIONS[name](xp, there)), FUNCTIONS[name](host, x))
