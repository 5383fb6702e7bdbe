"""Calls of the library for the tests that interrupt them: on what object, what it may be left at, what it does next."""

import os
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from fitting import EAGER, NET, X, Y, differ, make, state_of, with_extras
from shortages import Noting

import mlpcore as mc
from mlpcore.training.recovery import copied

State = dict[str, np.ndarray]
WIDTHS: dict[Path, int] = {}  # of networks that were made so far, each with a text of its own to compile


@dataclass(frozen=True)
class Call:
    """A call on an object that ``make(folder)`` makes.

    ``models`` are the models in the object. ``like`` makes another object in the same state, and ``follow`` returns
    what an object does next. ``keeps`` matches the files that the call may leave. With ``trail`` the models must stand
    at a whole step of the undisturbed call.
    """

    name: str
    make: Callable[[Path], Any]
    run: Callable[[Any], Any]
    follow: Callable[[Any], Any]
    models: Callable[[Any], list[mc.Model]]
    keeps: re.Pattern[str] = re.compile("")
    trail: bool = True
    trails: list[Any] = field(default_factory=list)

    def like(self, thing: Any, folder: Path) -> Any:
        """Another object, whose models are in the state of those of ``thing``."""
        other = self.make(folder)
        for own, model in zip(self.models(other), self.models(thing), strict=True):
            own.trainer.state = copied(model.trainer.state)
            own.trainer.progress = replace(model.trainer.progress)
        return other

    def faults(self, thing: Any) -> Iterator[str]:
        """What is wrong with the states of the models."""
        if not self.trail:
            return
        if not self.trails:
            self.trails.extend(self._whole_steps())
        for model, trail in zip(self.models(thing), self.trails, strict=True):
            state = state_of(model)
            whole = trail.get(int(state["step"]), [])
            if not any(not differ(strip(state), strip(other)) for other in whole):
                yield f"at step {state['step']} of epoch {state['epoch']} the state is that of no whole step"

    def _whole_steps(self) -> list[dict[int, list[State]]]:
        """The states of each model before and after each step of the undisturbed call, by the number of steps done."""
        import tempfile

        with tempfile.TemporaryDirectory() as name:
            thing = self.make(Path(name))
            notes: list[list[State]] = []
            for model in self.models(thing):
                trainer = model.trainer
                vars(trainer)["backend"] = with_extras(trainer.backend, max_chunk_steps=1)
                notes.append([state_of(model)])
                trainer.run = Both(model, trainer.run, notes[-1])
            self.run(thing)
        trails: list[dict[int, list[State]]] = []
        for model, states in zip(self.models(thing), notes, strict=True):
            trails.append({})
            for state in [*states, state_of(model)]:
                trails[-1].setdefault(int(state["step"]), []).append(state)
        return trails


class Both(Noting):
    """As `Noting`, with the state before each step too, and with the number of steps done in it."""

    def calls(self, *arguments: Any) -> Any:
        """The steps, their calls handed out."""
        self.trail.append(state_of(self.model))
        if hasattr(self.run, "calls"):
            state, *others = yield from self.run.calls(*arguments)
        else:
            state, *others = self.run(*arguments)
        before, self.model.trainer.state = self.model.trainer.state, state
        self.trail.append(state_of(self.model) | {"step": np.array(self.model.trainer.progress.step + 1)})
        self.model.trainer.state = before
        return state, *others


def strip(state: State) -> State:
    """The state without the epoch: at the end of one it may not be counted yet."""
    return {name: leaf for name, leaf in state.items() if name != "epoch"}


def one(model: mc.Model) -> list[mc.Model]:
    """The models of a model."""
    return [model]


def goes_on(model: mc.Model) -> Any:
    """Predictions, values and two further epochs."""
    first = model.predict(X), model.evaluate(X, Y)
    history = model.fit(X, Y, epochs=2, batch_size=5)
    return *first, history.loss, state_of(model)


def model_of(**words: Any) -> Callable[[Path], mc.Model]:
    """Makes a model with noise, statistics and an average."""
    return lambda folder: make(NET, ema=0.9, metrics=["mean_absolute_error"], **words)


def with_callbacks(model: mc.Model) -> None:
    rule = mc.ReduceOnPlateau("val_loss", factor=0.5, patience=1, min_delta=0.05)
    model.fit(X, Y, epochs=5, batch_size=5, validation_data=(X[:9], Y[:9]), callbacks=[rule])


def kept(folder: Path) -> mc.Model:
    """A model whose fits, for want of other arguments, keep their checkpoint in the folder."""
    model = model_of(compile=True)(folder)
    model.folder = folder
    return model


def with_checkpoints(model: mc.Model) -> None:
    path = model.folder / "run"
    model.fit(X, Y, epochs=4, batch_size=5, checkpoint=path, resume=path)


def save(model: mc.Model) -> None:
    model.save(model.folder / "model")


def saved(folder: Path) -> mc.Model:
    """A model in a file."""
    model = kept(folder)
    model.save(folder / "saved")
    return model


def saved_again(model: mc.Model) -> Any:
    """What follows a save: it is in its file, and goes on."""
    save(model)
    return mc.load(model.folder / "model").predict(X), goes_on(model)


def blank(folder: Path) -> mc.Model:
    """A model that nothing was compiled for yet, with an empty cache of libraries."""
    os.environ["MLPCORE_CACHE_DIR"] = str(folder / "libraries")
    width = WIDTHS.setdefault(folder, 4 + len(WIDTHS))
    net = mc.Sequential(mc.Linear(3, width), mc.Tanh(), mc.Linear(width, 2))
    return make(net, compile=True)


def mapped(folder: Path) -> mc.Model:
    """A model with rows in a file."""
    model = kept(folder)
    if not (folder / "rows.npy").exists():
        np.save(folder / "rows.npy", X)
    model.rows = np.load(folder / "rows.npy", mmap_mode="r")
    return model


def in_blocks(model: mc.Model) -> None:
    model.fit(model.rows, Y, epochs=4, batch_size=5, shuffle="blocks")


def stacked(folder: Path) -> mc.Stack:
    return mc.Stack([make(NET, seed=seed, ema=0.9, compile=True) for seed in range(3)])


def stack_goes_on(stack: mc.Stack) -> Any:
    prediction = stack.predict(X)
    return prediction, [history.loss for history in stack.fit(X, Y, epochs=2, batch_size=5)]


def members(stack: mc.Stack) -> list[mc.Model]:
    return list(stack.models)


def searched(search: Any) -> Any:
    """What a search finds, when it is run undisturbed."""
    search.fit(X, Y[:, 0])
    return search.cv_results_["mean_test_score"], search.best_estimator_.predict(X)


def regressor(**words: Any) -> Any:
    from mlpcore.sklearn import MLPRegressor

    return MLPRegressor(hidden_layer_sizes=4, max_iter=6, batch_size=8, random_state=0, compile=True, **words)


def grid(folder: Path) -> Any:
    from sklearn.model_selection import GridSearchCV

    return GridSearchCV(regressor(), {"alpha": [0.0, 0.1]}, cv=2)


def own_search(folder: Path) -> Any:
    from mlpcore.sklearn import StackedSearchCV

    return StackedSearchCV(regressor(), {"alpha": [0.0, 0.1]}, cv=2, n_jobs=2)


def several(folder: Path) -> Any:
    return regressor(n_members=3)


def none(thing: Any) -> list[mc.Model]:
    """The models of an estimator, which are made anew in every fit."""
    return []


def fit_on_rows(estimator: Any) -> None:
    estimator.fit(X, Y[:, 0])


def fitted(estimator: Any) -> Any:
    """What an estimator predicts after an undisturbed fit."""
    return estimator.fit(X, Y[:, 0]).predict(X)


def streaming_model(folder: Path) -> mc.Model:
    """A model on a CUDA device that says it has no room for the rows, which come piece by piece."""
    device = with_extras(mc.get_backend("cupy"), free_memory=lambda: 0)
    return model_of(backend=device, compile=True)(folder)


LIBRARIES = re.compile(r"libraries/([0-9a-f-]{65}\.so|mlpcore-pruned)")
CALLS = [
    Call("fit, compiled", model_of(compile=True), lambda m: m.fit(X, Y, epochs=4, batch_size=5), goes_on, one),
    Call("fit, not compiled", model_of(compile=False), lambda m: m.fit(X, Y, epochs=4, batch_size=5), goes_on, one),
    Call("fit, eager", model_of(backend=EAGER), lambda m: m.fit(X, Y, epochs=2, batch_size=5), goes_on, one),
    Call("fit with callbacks", model_of(compile=True), with_callbacks, goes_on, one),
    Call("fit with checkpoints", kept, with_checkpoints, goes_on, one, re.compile("run")),
    Call("first fit", blank, lambda m: m.fit(X, Y, epochs=2, batch_size=5), goes_on, one, LIBRARIES, trail=False),
    Call("first predict", blank, lambda m: m.predict(X), goes_on, one, LIBRARIES, trail=False),
    Call("predict", model_of(compile=True), lambda m: [m.predict(X[:n]) for n in (22, 9, 22)], goes_on, one),
    Call("evaluate", model_of(compile=True), lambda m: m.evaluate(X, Y), goes_on, one),
    Call("save", kept, save, saved_again, one, re.compile("model")),
    Call("load", saved, lambda m: mc.load(m.folder / "saved").predict(X), goes_on, one),
    Call("rows on disk", mapped, in_blocks, goes_on, one),
    Call("stack", stacked, lambda s: s.fit(X, Y, epochs=3, batch_size=5), stack_goes_on, members),
    Call("GridSearchCV", grid, fit_on_rows, searched, none),
    Call("StackedSearchCV", own_search, fit_on_rows, searched, none),
    Call("ensemble", several, fit_on_rows, fitted, none),
]
ON_A_DEVICE = [
    Call("captured fit", model_of(backend="cupy", compile=True), with_callbacks, goes_on, one),
    Call("streamed fit", streaming_model, with_callbacks, goes_on, one),
    Call("fit, launched", model_of(backend="cupy"), with_callbacks, goes_on, one),
]
