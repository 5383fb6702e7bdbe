"""Captured steps: one launch in place of many, with the same bits, on the CPU and on a device."""

import warnings
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import cuda_host
import numpy as np
import pytest
from devices import open_place
from rank_fits import CASES, LABELS, X, fitted, net
from thread_ranks import checked, on_ranks

import mlpcore as mc
from mlpcore.backends.backend import Backend, Compilers
from mlpcore.backends.compiled import captured_steps
from mlpcore.backends.compiled.captured_steps import CapturedSteps
from mlpcore.backends.compiled.device_functions import device_jit
from mlpcore.backends.compiled.device_groups import run_as_one
from mlpcore.backends.compiled.device_steps import device_steps
from mlpcore.backends.run import run_eagerly

# Cases whose draws are operations of the step; "few rows" has less than a graph of many steps.
NAMES = [name for name in CASES if name != "noise of the host"]
PLACES = [pytest.param("shim", marks=cuda_host.needed), pytest.param("cupy", marks=pytest.mark.gpu)]


@pytest.fixture(params=PLACES)
def place(request: pytest.FixtureRequest) -> Backend:
    """Kernels on the CPU by g++, and CuPy."""
    return cuda_host.backend() if request.param == "shim" else open_place("cupy")


@pytest.fixture
def graphs(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[int]]:
    """The numbers of steps of the launches so far."""
    launched: list[int] = []
    run = CapturedSteps.run

    def counted(self: CapturedSteps, varying: Any, first: int) -> None:
        launched.append(self.count)
        run(self, varying, first)

    monkeypatch.setattr(CapturedSteps, "run", counted)
    yield launched


def bits(model: mc.Model) -> np.ndarray:
    return model.backend.to_numpy(model.trainer.state.params)


@pytest.mark.parametrize("name", NAMES)
def test_captured_steps_have_the_bits_of_single_launches(name: str, place: Backend, graphs: list[int]) -> None:
    """26 steps an epoch, the last of 3 rows; validation, rules and checkpoints as ever."""
    words = {"epochs": 3, "batch_size": 4, "backend": place}
    single, history = fitted(CASES[name], None, compile="auto", **words)
    assert not graphs
    captured, own = fitted(CASES[name], None, compile=True, **words)
    np.testing.assert_array_equal(bits(captured), bits(single))
    assert own.loss == history.loss and own.val_loss == history.val_loss and own.stopped == history.stopped
    assert (16 in graphs) == (name != "few rows") and 1 in graphs


def test_members_of_a_stack_are_captured_together(place: Backend, graphs: list[int]) -> None:
    def stack(compile: bool | str) -> list[mc.Model]:
        words = {"backend": place, "dtype": "float64", "compile": compile}
        optimizers = [mc.Adam(rate) for rate in (0.01, 0.02, 0.05)]
        models = [mc.Model(net(mc.Dropout(0.3), outputs=3), mc.SoftmaxCrossEntropy(), o, **words) for o in optimizers]
        mc.Stack(models).fit(X, LABELS, epochs=2, batch_size=4)
        return models

    single = stack("auto")
    assert not graphs
    for model, other in zip(stack(True), single, strict=True):
        np.testing.assert_array_equal(bits(model), bits(other))
    assert len(graphs) < 2 * 26  # one launch for all members


def test_ranks_launch_gradient_and_update(place: Backend, graphs: list[int]) -> None:
    words = {"epochs": 2, "backend": place}
    single, _ = fitted(CASES["dropout"], None, compile="auto", **words)
    for model, _ in checked(on_ranks(2, lambda ranks: fitted(CASES["dropout"], ranks, compile=True, **words))):
        np.testing.assert_allclose(bits(model), bits(single), rtol=0, atol=1e-12)
    assert set(graphs) == {1}


def test_a_fit_resumes_with_captured_steps(place: Backend, tmp_path: Path) -> None:
    def fit(epochs: int, compile: bool | str, **paths: Any) -> mc.Model:
        words = {"backend": place, "dtype": "float64", "compile": compile, "ema": 0.9}
        model = mc.Model(net(mc.Dropout(0.3), outputs=3), mc.SoftmaxCrossEntropy(), **words)
        model.fit(X, LABELS, epochs=epochs, batch_size=4, **paths)
        return model

    fit(2, True, checkpoint=tmp_path / "run")
    np.testing.assert_array_equal(bits(fit(4, True, resume=tmp_path / "run")), bits(fit(4, "auto")))


def test_rows_that_change_their_place_are_captured_anew(place: Backend, graphs: list[int]) -> None:
    def train(compile: bool | str) -> np.ndarray:
        words = {"backend": place, "dtype": "float64", "compile": compile}
        model = mc.Model(net(outputs=3), mc.SoftmaxCrossEntropy(), **words)
        for shift in range(12):  # more than are kept
            model.fit(X + shift, LABELS, epochs=1, batch_size=4)
        return bits(model)

    np.testing.assert_array_equal(train(True), train("auto"))


def test_what_cannot_be_captured_is_launched_one_by_one_with_a_warning() -> None:
    def refuse(work: Any) -> Any:
        raise RuntimeError("no graphs here")

    numpy, device = mc.get_backend("numpy"), replace(cuda_host.device(), capture=refuse)
    steps = device_steps(run_eagerly(numpy.xp, numpy.asarray), device)
    backend = replace(numpy, compile=Compilers(steps, device_jit(device), ("highest",), run_as_one(device)))
    words = {"epochs": 2, "batch_size": 4, "backend": backend}
    single, _ = fitted(CASES["plain"], None, compile="auto", **words)
    with pytest.warns(mc.MlpcoreWarning, match="launched one by one, as they cannot be captured: no graphs here"):
        captured, _ = fitted(CASES["plain"], None, compile=True, **words)
    np.testing.assert_array_equal(bits(captured), bits(single))


def test_a_device_without_capture_launches_single_steps() -> None:
    device = replace(cuda_host.device(), capture=None)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert captured_steps.Captures(device).find(None, {}, [], None, 5) is None  # type: ignore[arg-type]
