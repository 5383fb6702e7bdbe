"""A model while a thread trains it: what others read is of a whole step, and no other thread or child trains it."""

import copy
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from compiled import WAYS
from fitting import state_of
from many_threads import LABELS, THREADS, X, at_once, digest, model
from processes import holds_in_child, needs_fork

import mlpcore as mc

pytestmark = pytest.mark.usefixtures("threads_that_change_often")


def saved(trained: mc.Model, folder: Path) -> np.ndarray:
    """The predictions of the file of a model."""
    path = folder / f"{threading.get_ident()}.safetensors"
    trained.save(path)
    return mc.load(path).predict(X)


def placed(trained: mc.Model, _: Path) -> np.ndarray:
    """Those of another model with the parameters of this one."""
    return mc.Model(trained.net, trained.loss, params=trained.params, compile=False).predict(X)


LOOKS: dict[str, Callable[[mc.Model, Path], np.ndarray]] = {
    "predict": lambda trained, _: trained.predict(X),
    "blocks": lambda trained, _: trained.predict(X, batch_size=50),
    "gradients": lambda trained, _: trained.input_gradient(X[:60], 0),
    "params": placed,
    "snapshot": lambda trained, _: np.concatenate([leaf.ravel() for leaf in trained.snapshot().values()]),
    "copy": lambda trained, _: copy.copy(trained).predict(X),
    "save": saved,
}
STEPS = 40


def whole_steps_only(look: Callable[[mc.Model, Path], np.ndarray], width: int, way: bool, folder: Path) -> None:
    """Seven threads look at a model while one trains it by epochs of one step."""
    alone, looked = model(way, width), model(way, width)
    for one in (alone, looked):
        one.fit(X, LABELS, epochs=1, batch_size=600)
    after = [digest(look(alone, folder))]
    for _ in range(STEPS):
        alone.fit(X, LABELS, epochs=1, batch_size=600)
        after.append(digest(look(alone, folder)))
    assert len({*after}) == STEPS + 1
    over = threading.Event()

    def train() -> list[str]:
        try:
            looked.fit(X, LABELS, epochs=STEPS, batch_size=600)
        finally:
            over.set()
        return []

    def watch() -> list[str]:
        found = [digest(look(looked, folder))]
        while not over.is_set():
            found.append(digest(look(looked, folder)))
        return found

    found = at_once([train, *[watch] * (THREADS - 1)])
    for one in found:
        assert isinstance(one, list), one
        numbers = [after.index(bits) for bits in one]
        assert numbers == sorted(numbers), "a step back"
    assert digest(look(looked, folder)) == after[-1]


@WAYS
def test_predictions_beside_a_fit_are_those_of_a_whole_step(way: bool, tmp_path: Path) -> None:
    whole_steps_only(LOOKS["predict"], 256, way, tmp_path)


@pytest.mark.long
@WAYS
@pytest.mark.parametrize("width", [16, 512])
@pytest.mark.parametrize("name", LOOKS)
def test_what_is_read_beside_a_fit_is_of_a_whole_step(name: str, width: int, way: bool, tmp_path: Path) -> None:
    whole_steps_only(LOOKS[name], width, way, tmp_path)


class Pause:
    """A callback that waits in the middle of a fit."""

    def __init__(self) -> None:
        self.reached, self.go_on = threading.Event(), threading.Event()

    def on_epoch_end(self, report: Any) -> None:
        """Wait after every epoch; its own thread may look at the model, and change it."""
        report.model.rate_scale = report.model.rate_scale
        report.model.predict(X[:3])
        self.reached.set()
        assert self.go_on.wait(60)


CHANGES: dict[str, Callable[[mc.Model], Any]] = {
    "fit": lambda trained: trained.fit(X, LABELS, epochs=1),
    "fit of a stack": lambda trained: mc.Stack([model(trained.compiled.asked), trained]).fit(X, LABELS, epochs=1),
    "Model.params": lambda trained: setattr(trained, "params", trained.params),
    "Model.rate_scale": lambda trained: setattr(trained, "rate_scale", 0.5),
    "restore": lambda trained: trained.restore(trained.snapshot()),
    "epoch": lambda trained: trained.trainer.epoch((), np.ones(1), lambda epoch: np.arange(1), 1),
}


@WAYS
def test_one_thread_trains_a_model_and_others_are_told_so(way: bool) -> None:
    trained, alone, pause = model(way), model(way), Pause()
    alone.fit(X, LABELS, epochs=3)
    fit = threading.Thread(target=lambda: trained.fit(X, LABELS, epochs=3, callbacks=[pause]))
    fit.start()
    assert pause.reached.wait(60)
    try:
        for name, change in CHANGES.items():
            with pytest.raises(mc.ConfigurationError, match=f"^{name.split()[0]}: another thread is training"):
                change(trained)
    finally:
        pause.go_on.set()
        fit.join()
    assert state_of(trained).keys() == state_of(alone).keys()
    for name, leaf in state_of(alone).items():
        np.testing.assert_array_equal(state_of(trained)[name], leaf)
    trained.fit(X, LABELS, epochs=1)  # afterwards any thread may


@needs_fork
@WAYS
def test_a_fork_beside_a_fit_finds_a_whole_step(way: bool) -> None:
    """The child predicts with the model, and trains a copy; the model itself is in the fit of a thread that is gone."""
    alone, trained, begun, over = model(way, 256), model(way, 256), threading.Event(), threading.Event()
    for one in (alone, trained):
        one.fit(X, LABELS, epochs=1, batch_size=600)
    after = {digest(alone.predict(X))}
    for _ in range(STEPS):
        alone.fit(X, LABELS, epochs=1, batch_size=600)
        after.add(digest(alone.predict(X)))

    def refused() -> bool:
        try:
            trained.fit(X, LABELS, epochs=1)
        except mc.ConfigurationError:
            return True
        return False

    def holds() -> bool:
        child = copy.copy(trained)
        child.fit(X, LABELS, epochs=1, batch_size=600)
        return digest(trained.predict(X)) in after and (refused() or not begun.is_set() or over.is_set())

    class Times:
        """A callback that says when the fit has begun and when it is over; the fork may be before and after."""

        def on_fit_begin(self, model: mc.Model, epochs: int) -> None:
            begun.set()

        def on_fit_end(self, model: mc.Model) -> None:
            over.set()

    def train() -> None:
        trained.fit(X, LABELS, epochs=STEPS, batch_size=600, callbacks=[Times()])

    fit = threading.Thread(target=train)
    fit.start()
    try:
        while not over.is_set():
            assert holds_in_child(holds)
    finally:
        fit.join()
