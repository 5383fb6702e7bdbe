"""Calls that are interrupted at random moments: whole steps, no stale answers, no threads, no files, no handlers.

With ``--long`` 500 moments, thirty in the normal run. `interrupts` repeats them from a command line.
"""

import random
import signal
from typing import Any

import numpy as np
import pytest
from devices import open_place
from fitting import X, Y, state_of
from interrupted_calls import CALLS, ON_A_DEVICE, goes_on
from interrupts import interrupt_many, raising
from processes import needs_fork, needs_instructions

import mlpcore as mc
from mlpcore.backends import streaming
from mlpcore.backends.compiled.captured_steps import CapturedSteps
from mlpcore.compiler.cuda.bound import BoundDeviceProgram

pytestmark = needs_fork
QUICK = ("fit, eager", "predict", "save")


@needs_instructions
def test_some_moments() -> None:
    assert interrupt_many(0, 24, [call for call in CALLS if call.name in QUICK]) == []


@needs_instructions
@pytest.mark.long
def test_many_moments() -> None:
    assert interrupt_many(1, 450) == []


@needs_instructions
@pytest.mark.gpu
@pytest.mark.parametrize("moments", [6, pytest.param(90, marks=pytest.mark.long)])
def test_moments_on_a_device(moments: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Captured and launched steps, and rows that come piece by piece."""
    open_place("cupy")
    monkeypatch.setattr(streaming, "BUFFER_BYTES", 500)
    assert interrupt_many(moments, moments, ON_A_DEVICE) == []


@pytest.mark.gpu
@pytest.mark.parametrize(
    ("name", "within"), [("captured fit", (CapturedSteps, "run")), ("fit, launched", (BoundDeviceProgram, "call"))]
)
def test_a_signal_waits_for_the_end_of_launched_steps(
    name: str, within: tuple[type, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its error would come between a step and its count."""
    open_place("cupy")
    call = next(call for call in ON_A_DEVICE if call.name == name)
    model, launch, launches = call.make(None), getattr(*within), []
    assert list(call.faults(model)) == []

    def launched(*arguments: Any) -> None:
        launches.append(launch(*arguments))
        if len(launches) == 3:
            signal.raise_signal(signal.SIGTERM)

    monkeypatch.setattr(*within, launched)
    before = signal.signal(signal.SIGTERM, raising(SystemExit))
    try:
        with pytest.raises(SystemExit):
            call.run(model)
    finally:
        signal.signal(signal.SIGTERM, before)
    assert model.trainer.progress.step > 2 and list(call.faults(model)) == []


@pytest.mark.parametrize("number", [6, pytest.param(50, marks=pytest.mark.long)])
def test_an_error_of_a_callback_leaves_a_whole_step(number: int) -> None:
    """Whichever of its calls it is raised in: before the fit, after an epoch, at the end."""
    call = next(call for call in CALLS if call.name == "fit with callbacks")
    draws = random.Random(number)
    for _ in range(number):
        raising, model = Raising(draws.randrange(5)), call.make(None)
        with pytest.raises(RuntimeError, match="mine"):
            model.fit(X, Y, epochs=3, batch_size=5, callbacks=[raising])
        other = call.make(None)
        if raising.epochs:
            other.fit(X, Y, epochs=raising.epochs, batch_size=5)
        for name, leaf in state_of(other).items():
            np.testing.assert_array_equal(state_of(model)[name], leaf, err_msg=name)
        for one, two in zip(goes_on(model)[:3], goes_on(other)[:3], strict=True):
            np.testing.assert_equal(one, two)


class Raising:
    """Raises an error in its call of number ``at``: before the fit, after one of three epochs, or at the end."""

    def __init__(self, at: int) -> None:
        self.at, self.calls, self.epochs = at, 0, 0

    def step(self) -> None:
        self.calls += 1
        if self.calls - 1 == self.at:
            raise RuntimeError("mine")

    def on_fit_begin(self, model: mc.Model, epochs: int) -> None:
        self.step()

    def on_epoch_end(self, report: Any) -> None:
        self.epochs += 1
        self.step()

    def on_fit_end(self, model: mc.Model) -> None:
        self.step()
