"""Fits for the tests that kill them: each starts or resumes at a path, and returns all that it ends with."""

import os
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from fitting import NET, PLAIN, X, Y, make, state_of, untimed, with_extras

import mlpcore as mc
from mlpcore.backends import streaming
from mlpcore.random import Stream

Result = dict[str, Any]  # arrays and lists, by name
Job = Callable[[Path, str], Result]  # of a folder for checkpoints, and the name of a backend

DEEP = mc.Sequential(mc.Linear(8, 48), mc.ReLU(), mc.Dropout(0.1), mc.Linear(48, 48), mc.Tanh(), mc.Linear(48, 1))
MANY = Stream(4, "rows").normal((6000, 8))
SUMS = np.sin(MANY.sum(axis=1, keepdims=True))


def rules() -> list[Any]:
    """Rules with a state that both act within twelve epochs."""
    return [
        mc.ReduceOnPlateau("val_loss", factor=0.5, patience=1, min_delta=0.02),
        mc.EarlyStopping("val_loss", patience=5, min_delta=0.01),
    ]


def ended(models: Sequence[mc.Model], histories: Sequence[mc.History], callbacks: Sequence[Any] = ()) -> Result:
    """Everything that must be as if nothing had happened: states, histories, and the states of rules."""
    found: Result = {}
    for i, (model, history) in enumerate(zip(models, histories, strict=True)):
        found |= {f"{i}.{name}": leaf for name, leaf in state_of(model).items()}
        found[f"{i}.history"] = [sorted(row.items()) for row in untimed(history)]
        found[f"{i}.stopped"] = history.stopped
    return found | {f"rule.{i}": callback.state() for i, callback in enumerate(callbacks)}


def fitted(
    net: Any, folder: Path, backend: Any, compile: Any, rows: Any = (X, Y), several: Any = None, **words: Any
) -> Result:
    """A fit with everything that a state can hold, without ``compile`` on array_api_strict, which has no compiler.

    ``several(path)`` is the `mlpcore.CheckpointFolder` to write, if it is not one file.
    """
    told: dict[str, Any] = {"epochs": 12, "batch_size": 5} | words
    place = {"backend": backend} if backend == "array_api_strict" else {"backend": backend, "compile": compile}
    model = make(
        net, ema=0.9, l2=0.01, optimizer=mc.Adam(mc.schedules.ExponentialDecay(0.02, every=10, factor=0.9)), **place
    )
    run = several(folder / "run") if several else folder / "run"
    history = model.fit(*rows, checkpoint=run, resume=run, **told)
    return ended([model], [history], told.get("callbacks", ()))


def plain(folder: Path, backend: str) -> Result:
    """A small network, step by step."""
    return fitted(PLAIN, folder, backend, False)


def compiled(folder: Path, backend: str) -> Result:
    """The same, compiled."""
    return fitted(PLAIN, folder, backend, True)


def with_rules(folder: Path, backend: str) -> Result:
    """Dropout, BatchNorm, an average, validation, early stopping and plateaus; compiled."""
    return fitted(NET, folder, backend, True, validation_data=(X[:9], Y[:9]), callbacks=rules(), epochs=20)


def with_rules_step_by_step(folder: Path, backend: str) -> Result:
    """The same, step by step."""
    return fitted(NET, folder, backend, False, validation_data=(X[:9], Y[:9]), callbacks=rules(), epochs=20)


def long_chunks(folder: Path, backend: str) -> Result:
    """Epochs of many steps in one compiled chunk each."""
    return fitted(DEEP, folder, backend, True, (MANY, SUMS), epochs=3, batch_size=6)


def within_epochs(folder: Path, backend: str) -> Result:
    """The same, with a checkpoint after every 150 steps, of 1000 in an epoch."""
    several = partial(mc.CheckpointFolder, keep=2, every_steps=150)
    return fitted(DEEP, folder, backend, True, (MANY, SUMS), several, epochs=3, batch_size=6)


def rules_within_epochs(folder: Path, backend: str) -> Result:
    """All rules, a checkpoint after every third step of five, and that of the best epoch."""
    several = partial(mc.CheckpointFolder, keep=2, best=True, every_steps=3)
    words: dict[str, Any] = {"validation_data": (X[:9], Y[:9]), "callbacks": rules(), "epochs": 20}
    return fitted(NET, folder, backend, True, several=several, **words)


def rows_on_disk(folder: Path, backend: str) -> Result:
    """Rows in a memory-mapped file, read in blocks."""
    rows = folder / "rows.npy"
    if not rows.exists():
        np.save(folder / "begun.npy", MANY)
        os.replace(folder / "begun.npy", rows)
    return fitted(
        DEEP, folder, backend, True, (np.load(rows, mmap_mode="r"), SUMS), epochs=4, batch_size=64, shuffle="blocks"
    )


def stack(folder: Path, backend: str) -> Result:
    """Three members side by side, each with a file and rules of its own."""
    place = {"backend": backend} if backend == "array_api_strict" else {"backend": backend, "compile": True}
    models = [make(NET, seed=seed, ema=0.9, optimizer=mc.Adam(0.01 * (seed + 1)), **place) for seed in range(3)]
    callbacks: dict[int, list[Any]] = {}
    histories = mc.Stack(models).fit(
        X,
        Y,
        epochs=12,
        batch_size=5,
        validation_data=(X[:9], Y[:9]),
        callbacks=lambda model: callbacks.setdefault(id(model), rules()),
        checkpoint=folder / "members",
        resume=folder / "members",
    )
    return ended(models, histories, [rule for model in models for rule in callbacks[id(model)]])


def anew(folder: Path, backend: str) -> Result:
    """A compiled fit that finds no library in its cache, so that a C compiler runs."""
    os.environ["MLPCORE_CACHE_DIR"] = str(folder / "libraries")
    return compiled(folder, backend)


def captured(folder: Path, backend: str) -> Result:
    """A fit with rules on a CUDA device, in captured steps."""
    return fitted(NET, folder, "cupy", True, validation_data=(X[:9], Y[:9]), callbacks=rules(), epochs=20)


def streamed(folder: Path, backend: str) -> Result:
    """The same without room for the rows, which come piece by piece."""
    streaming.BUFFER_BYTES = 500
    device = with_extras(mc.get_backend("cupy"), free_memory=lambda: 0)
    return fitted(NET, folder, device, True, validation_data=(X[:9], Y[:9]), callbacks=rules(), epochs=20)


JOBS: list[Job] = [plain, compiled, with_rules, with_rules_step_by_step, rules_within_epochs]
JOBS += [long_chunks, within_epochs, rows_on_disk, stack, anew]
ON_A_DEVICE: list[Job] = [captured, streamed]
