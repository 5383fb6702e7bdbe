"""Checkpoints: a fit that was killed and resumed ends bit by bit where one that was never killed ends."""

import math
import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import members
import numpy as np
import pytest
from devices import gpu
from safetensors.numpy import load_file

from mlpcore import layers as nn
from mlpcore.errors import BackendUnavailable, ModelFileError, TrainingInterrupted
from mlpcore.files import tensors
from mlpcore.layers.activation import Activation
from mlpcore.loading import load
from mlpcore.losses import HalfSquaredError, SquaredError
from mlpcore.model import Model
from mlpcore.optimizers import SGD, Adagrad, Adam
from mlpcore.random import Stream
from mlpcore.training.callbacks import ReduceOnPlateau, Stop
from mlpcore.trees import named_leaves

ROWS = 23
NET = nn.Sequential(
    nn.Linear(3, 4, bias=False),
    nn.BatchNorm(4),
    nn.Tanh(),
    nn.Residual(nn.Sequential(nn.LayerNorm(4), nn.Dropout(0.2), nn.Linear(4, 4))),
    nn.Linear(4, 2),
)
OTHERS = ["array_api_strict", *(pytest.param(name, marks=pytest.mark.oracle) for name in ("torch", "jax")), gpu("cupy")]
X = Stream(5, "x").normal((ROWS, 3)).astype("float32")
Y = np.stack([X[:, 0] * X[:, 1], np.sin(3 * X[:, 2])], axis=1)
FIT: dict[str, Any] = {"x": X, "y": Y, "epochs": 5, "batch_size": 4, "validation_data": (X[:9], Y[:9])}


def make(**words: Any) -> Model:
    return Model(**{"net": NET, "loss": HalfSquaredError(), "optimizer": Adam(0.01), "seed": 3, **words})


class Killed(Exception):
    """As a power cut: nobody catches it."""


@dataclass
class KillAfter:
    epoch: int

    def on_epoch_end(self, report: Any) -> None:
        if report.epoch == self.epoch:
            raise Killed


def plateau() -> ReduceOnPlateau:
    return ReduceOnPlateau("loss", factor=0.5, patience=1, min_delta=1e6)  # lowers the rate after every second epoch


def kill(path: Path, epoch: int, model: Model | None = None, rules: tuple = (), **words: Any) -> None:
    """A fit that dies in the callbacks of this epoch, before its checkpoint: the file is that of the epoch before."""
    with pytest.raises(Killed):
        (model or make()).fit(**(FIT | words), callbacks=[*rules, KillAfter(epoch)], checkpoint=path)


def state_of(model: Model) -> dict[str, np.ndarray]:
    return {name: model.backend.to_numpy(leaf) for name, leaf in named_leaves(model.trainer.state)}


def assert_same_state(a: Model, b: Model) -> None:
    left, right = state_of(a), state_of(b)
    assert left.keys() == right.keys() and a.trainer.progress == b.trainer.progress
    for name in left:
        assert left[name].dtype == right[name].dtype
        np.testing.assert_array_equal(left[name], right[name], err_msg=name)


def untimed(rows: list[dict]) -> list[dict]:
    return [{name: value for name, value in row.items() if name != "rows_per_second"} for row in rows]


# Its state is not zero in the padding between the leaves.
CASES = members.OPTIMIZERS | {"Adagrad from 0.5": Adagrad(initial_accumulator=0.5)}


@pytest.mark.parametrize("case", CASES)
def test_a_resumed_fit_is_bit_equal_to_one_never_killed(case: str, tmp_path: Path) -> None:
    words = {"optimizer": CASES[case], "ema": 0.9, "l2": 0.01, "clip_norm": 0.5, "dtype": "float64"}
    whole = make(**words)
    history = whole.fit(**FIT, callbacks=[plateau()])
    path = tmp_path / "run"
    kill(path, 4, make(**words), (plateau(),))
    resumed = make(**words)
    again = resumed.fit(**FIT, callbacks=[plateau()], checkpoint=path, resume=path)
    assert len(again) == FIT["epochs"] and untimed(again.rows) == untimed(history.rows)
    assert resumed.rate_scale < 1
    assert_same_state(resumed, whole)


@pytest.mark.parametrize("epoch", [1, 2, 5])
def test_resuming_after_any_epoch(epoch: int, tmp_path: Path) -> None:
    whole, path = make(ema=0.9), tmp_path / "run"
    history = whole.fit(**FIT, checkpoint=tmp_path / "other")
    with pytest.raises(Killed):
        make(ema=0.9).fit(**FIT, callbacks=[KillAfter(epoch)], checkpoint=path)
    resumed = make(ema=0.9)
    again = resumed.fit(**FIT, checkpoint=path, resume=path)
    assert_same_state(resumed, whole)
    assert untimed(again.rows) == untimed(history.rows) and again.stopped is None
    np.testing.assert_array_equal(resumed.predict(X), whole.predict(X))
    for name, tensor in load_file(tmp_path / "other").items():
        np.testing.assert_array_equal(load_file(path)[name], tensor, err_msg=name)


def test_one_call_serves_start_and_restart(tmp_path: Path) -> None:
    path = str(tmp_path / "run")
    first = make()
    first.fit(**FIT, checkpoint=path, resume=tmp_path / "run")
    second = make(seed=3)
    history = second.fit(**FIT, checkpoint=path, resume=path)  # nothing is left to do
    assert len(history) == FIT["epochs"]
    assert_same_state(first, second)
    longer = make()
    assert len(longer.fit(**(FIT | {"epochs": 7}), checkpoint=path, resume=path)) == 7
    whole = make()
    whole.fit(**(FIT | {"epochs": 7}))
    assert_same_state(longer, whole)


def test_a_second_fit_is_resumed_within_itself(tmp_path: Path) -> None:
    """Epochs are those of the call, not those of the model's life."""
    path, whole, resumed = tmp_path / "run", make(), make()
    whole.fit(**(FIT | {"epochs": 6}))
    resumed.fit(**(FIT | {"epochs": 2}))
    kill(path, 5, resumed, epochs=4)
    again = make()
    again.fit(**(FIT | {"epochs": 2}))
    assert len(again.fit(**(FIT | {"epochs": 4}), resume=path)) == 4
    assert_same_state(again, whole)


def test_a_missing_file_is_an_error_where_another_is_written(tmp_path: Path) -> None:
    for checkpoint in (None, tmp_path / "new"):
        with pytest.raises(FileNotFoundError):
            make().fit(**FIT, checkpoint=checkpoint, resume=tmp_path / "run")
    assert not os.listdir(tmp_path)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("backend", OTHERS)
def test_any_backend_resumes_what_another_wrote(backend: str, dtype: str, tmp_path: Path) -> None:
    words = {"dtype": dtype, "ema": 0.9}
    try:
        other = make(**words, backend=backend)
    except BackendUnavailable as error:
        pytest.skip(str(error))
    path, whole = tmp_path / "run", make(**words)
    whole.fit(**(FIT | {"epochs": 3}), checkpoint=path)
    other.fit(**(FIT | {"epochs": 3}), checkpoint=path, resume=path)
    assert_same_state(other, whole)
    whole.fit(**(FIT | {"epochs": 1}))
    other.fit(**(FIT | {"epochs": 4}), checkpoint=path, resume=path)
    back = make(**words)
    back.fit(**(FIT | {"epochs": 4}), resume=path)
    assert_same_state(back, other)
    members.assert_close(other.predict(X), whole.predict(X))


def test_tensors_are_named_and_without_padding(tmp_path: Path) -> None:
    make(ema=0.9).fit(**(FIT | {"epochs": 1}), checkpoint=tmp_path / "run")
    found = {name: tensor.shape for name, tensor in load_file(tmp_path / "run").items()}
    leaves = {
        **{"0.weight": (3, 4), "1.gain": (4,), "1.bias": (4,), "3.0.0.gain": (4,), "3.0.0.bias": (4,)},
        **{"3.0.2.weight": (4, 4), "3.0.2.bias": (4,), "4.weight": (4, 2), "4.bias": (2,)},
    }
    vectors = ("params", "average", "optimizer.first_moment", "optimizer.second_moment")
    expected = {f"{vector}.{name}": shape for vector in vectors for name, shape in leaves.items()}
    expected |= {f"statistics.1.running_{name}": (4,) for name in ("mean", "var")}
    assert found == expected | dict.fromkeys(("count", "scale", "skipped", "optimizer.count"), ())


@dataclass(frozen=True)
class Wide(Activation):
    factor: float = math.inf
    names: dict = field(default_factory=dict, hash=False)

    def activate(self, x: Any) -> tuple[Any, Any]:
        return x, ()

    def gradient(self, cache: Any, dy: Any) -> Any:
        return dy


def test_layers_schedules_and_metrics_of_ones_own_can_be_resumed(tmp_path: Path) -> None:
    def words() -> dict[str, Any]:
        return {
            "net": nn.Sequential(NET, Wide()),
            "optimizer": SGD(lambda count: count * 0 + 0.01),
            "metrics": [lambda target, prediction: math.nan],
        }

    path = tmp_path / "run"
    kill(path, 3, make(**words()))
    resumed = make(**words())
    history = resumed.fit(**FIT, resume=path)
    assert len(history) == 5 and all(math.isnan(value) for value in history["val_<lambda>"])
    with pytest.raises(ModelFileError, match=r"net\.layers\[1\]\.factor is 'inf' there and 2\.0 here"):
        make(**(words() | {"net": nn.Sequential(NET, Wide(2.0))})).fit(**FIT, resume=path)


DIFFERENT = {
    "seed": ({"seed": 4}, {}, "seed is 3 there and 4 here"),
    "dtype": ({"dtype": "float64"}, {}, "dtype is 'float32' there and 'float64' here"),
    "rate": ({"optimizer": Adam(0.02)}, {}, r"optimizer\.learning_rate is 0\.01 there and 0\.02 here"),
    "optimizer": ({"optimizer": SGD(0.01)}, {}, r"optimizer is \{'type': 'Adam'"),
    "loss": ({"loss": SquaredError()}, {}, "loss is"),
    "rule": ({"l2": 1.0}, {}, r"l2 is 0\.0 there and 1\.0 here"),
    "average": ({"ema": 0.5}, {}, r"ema is None there and 0\.5 here"),
    "layer": (
        {"net": nn.Sequential(*NET.layers[:-1], nn.Linear(4, 2, bias=False))},
        {},
        r"net\.layers\[4\]\.bias is True",
    ),
    "layers": ({"net": nn.Sequential(*NET.layers, nn.ReLU())}, {}, r"net\.layers is \["),
    "batch": ({}, {"batch_size": 5}, "batch_size is 4 there and 5 here"),
    "order": ({}, {"shuffle": False}, "shuffle is True there and False here"),
    "rows": ({}, {"x": X[1:], "y": Y[1:]}, "rows is 23 there and 22 here"),
}


@pytest.mark.parametrize(("words", "call", "said"), DIFFERENT.values(), ids=DIFFERENT.keys())
def test_another_fit_is_refused_and_nothing_changes(words: dict, call: dict, said: str, tmp_path: Path) -> None:
    path, model = tmp_path / "run", make(**words)
    kill(path, 2)
    file, before = path.read_bytes(), {name: leaf.copy() for name, leaf in state_of(model).items()}
    with pytest.raises(ModelFileError, match=said) as caught:
        model.fit(**(FIT | call), checkpoint=path, resume=path)
    assert str(path) in str(caught.value) and path.read_bytes() == file
    for name, leaf in state_of(model).items():
        np.testing.assert_array_equal(leaf, before[name])


def test_damaged_and_other_files_are_refused(tmp_path: Path) -> None:
    path, model = tmp_path / "run", make()
    kill(path, 2)
    with pytest.raises(ModelFileError, match=r"is a checkpoint; pass it to fit\(\.\.\., resume=\.\.\.\)"):
        load(path)
    data = path.read_bytes()
    for damaged in (data[:-1], data[:100], data[:-1] + b"\x07", b""):
        path.write_bytes(damaged)
        with pytest.raises(ModelFileError):
            model.fit(**FIT, checkpoint=path, resume=path)
    model.save(path)
    with pytest.raises(ModelFileError, match="is a model file"):
        model.fit(**FIT, resume=path)
    assert model.trainer.progress.epoch == 0


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda about, arrays: arrays.pop("count"), "count is missing there and int32"),
        (lambda about, arrays: arrays.update(scale=np.ones(3)), r"scale is float64 \(3,\) there and float32 \(\) here"),
        (lambda about, arrays: arrays.update(more=np.ones(3)), "more is float64"),
        (lambda about, arrays: about["progress"].update(epoch=-1), "progress or history"),
        (lambda about, arrays: about["progress"].pop("step"), "progress or history"),
        (lambda about, arrays: about.update(history=[{"loss": "a"}]), "progress or history"),
        (lambda about, arrays: about.update(history=[["loss"]]), "progress or history"),
        (lambda about, arrays: about.update(stopped=3), "progress or history"),
        (lambda about, arrays: about.pop("fit"), "was written by another fit"),
    ],
)
def test_forged_checkpoints_are_refused(change: Any, said: str, tmp_path: Path) -> None:
    path, model = tmp_path / "run", make()
    kill(path, 2)
    about, arrays = tensors.read(path, "checkpoint")
    change(about, arrays)
    about = {name: about[name] for name in about if name not in ("sha256", "version", "kind")}
    tensors.write(path, "checkpoint", about, arrays)
    with pytest.raises(ModelFileError, match=said):
        model.fit(**FIT, resume=path)
    assert model.trainer.progress.epoch == 0 and not int(model.trainer.state.count)


def test_the_place_is_checked_before_training(tmp_path: Path) -> None:
    model = make()
    with pytest.raises(FileNotFoundError, match="no directory"):
        model.fit(**FIT, checkpoint=tmp_path / "missing" / "run")
    with pytest.raises(ModelFileError, match="is a directory"):
        model.fit(**FIT, checkpoint=tmp_path)
    assert model.trainer.progress.epoch == 0


class StopAfter:
    def on_epoch_end(self, report: Any) -> Stop | None:
        return Stop("enough") if report.epoch >= 2 else None


def test_a_fit_that_a_callback_ended_stays_ended(tmp_path: Path) -> None:
    path, model = tmp_path / "run", make()
    assert len(model.fit(**FIT, callbacks=[StopAfter()], checkpoint=path)) == 2
    again = make()
    history = again.fit(**FIT, callbacks=[StopAfter()], checkpoint=path, resume=path)
    assert len(history) == 2 and history.stopped == "enough"
    assert_same_state(again, model)
    again.fit(**FIT)
    assert again.trainer.progress.epoch == 7


def test_an_interrupted_epoch_leaves_the_checkpoint_of_the_one_before(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, ctrl_c: None
) -> None:
    import signal

    path, model, whole = tmp_path / "run", make(), make()
    run, calls = model.trainer.run, []

    def interrupted(*args: Any) -> Any:
        calls.append(1)
        if len(calls) == 5:  # two chunks an epoch (whole batches, and the last small one): within the third
            signal.raise_signal(signal.SIGINT)
        return run(*args)

    monkeypatch.setattr(model.trainer, "run", interrupted)
    with pytest.warns(TrainingInterrupted):
        history = model.fit(**FIT, checkpoint=path)
    assert len(history) == 2 and history.stopped == "interrupted"
    resumed = make()
    resumed.fit(**FIT, checkpoint=path, resume=path)
    whole.fit(**FIT)
    assert_same_state(resumed, whole)


def test_a_fit_without_paths_writes_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    make().fit(**FIT)
    assert not os.listdir(tmp_path)
