"""Folders of checkpoints: when they are written, which are kept, and that a fit resumes from the latest whole one."""

import os
import time
import warnings
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fitting import EVERYTHING, FIT, X, Y, assert_same, make, state_of, untimed, with_extras

import mlpcore as mc
from mlpcore.files.tensors import read

ONE_STEP = with_extras(mc.get_backend("numpy"), max_chunk_steps=1)


def rules() -> list[Any]:
    return [mc.EarlyStopping(patience=9), mc.ReduceOnPlateau("loss", factor=0.5, patience=1, min_delta=1e6)]


def fit(model: mc.Model, **words: Any) -> mc.History:
    return model.fit(X, Y, **(FIT | {"epochs": 4, "callbacks": rules()} | words))


def names(folder: Path) -> list[str]:
    return sorted(os.listdir(folder))


def test_the_latest_are_kept(tmp_path: Path) -> None:
    fit(make(), epochs=7, checkpoint=mc.CheckpointFolder(tmp_path / "run", keep=2))
    assert names(tmp_path / "run") == ["000006-epoch-6-step-30.safetensors", "000007-epoch-7-step-35.safetensors"]


def test_every_so_many_epochs_and_after_the_last(tmp_path: Path) -> None:
    fit(make(), epochs=7, checkpoint=mc.CheckpointFolder(tmp_path / "run", keep=9, every_epochs=3))
    assert [name.split("-")[2] for name in names(tmp_path / "run")] == ["3", "6", "7"]


def test_minutes_are_those_since_the_last(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A clock that goes on by a minute whenever it is read: once for every chunk, and once for each checkpoint."""
    minutes = iter(range(1000))
    monkeypatch.setattr(time, "monotonic", lambda: 60.0 * next(minutes))
    run = mc.CheckpointFolder(tmp_path / "run", keep=9, every_minutes=3)
    fit(make(backend=ONE_STEP), epochs=3, checkpoint=run)
    assert [name.split("step-")[1].split(".")[0] for name in names(tmp_path / "run")] == ["3", "6", "9", "12", "15"]
    fit(make(), epochs=2, checkpoint=mc.CheckpointFolder(tmp_path / "slow", keep=9, every_minutes=1e6))
    assert names(tmp_path / "slow") == ["000001-epoch-2-step-10.safetensors"]


@pytest.mark.parametrize("best", [True, "loss", "val_r2"])
def test_the_best_epoch_is_kept_too(best: bool | str, tmp_path: Path) -> None:
    """Its file has the whole state: `fit` to no more than its epoch takes it as it is."""
    words = {"metrics": ["r2"], "optimizer": mc.SGD(lambda count: 0.05 + 0.4 * (count >= 30))}
    model = make(**words)
    history = fit(model, epochs=9, callbacks=[], checkpoint=mc.CheckpointFolder(tmp_path / "run", keep=1, best=best))
    values = history["val_loss" if best is True else str(best)]
    epoch = 1 + int(np.argmax(values) if best == "val_r2" else np.argmin(values))
    assert 1 < epoch < 9
    assert names(tmp_path / "run") == ["000009-epoch-9-step-45.safetensors", "best.safetensors"]
    taken, alone = make(**words), make(**words)
    assert len(fit(taken, epochs=1, callbacks=[], resume=tmp_path / "run" / "best.safetensors")) == epoch
    fit(alone, epochs=epoch, callbacks=[])
    assert_same(state_of(taken), state_of(alone))


def test_without_validation_the_loss_decides_and_nan_is_never_best(tmp_path: Path) -> None:
    folder = mc.CheckpointFolder(tmp_path, best=True)
    assert folder.is_best([{"loss": 2.0}, {"loss": 1.0}]) and not folder.is_best([{"loss": 1.0}, {"loss": 1.0}])
    assert folder.is_best([{"loss": 1.0, "val_loss": 3.0}, {"loss": 2.0, "val_loss": 2.0}])
    assert folder.is_best([{"loss": float("nan")}, {"loss": 1.0}]) and not folder.is_best([{"loss": float("nan")}])


@pytest.mark.parametrize("damage", [b"", b"no checkpoint", None], ids=["empty", "other", "cut"])
def test_a_damaged_checkpoint_is_passed_over(damage: bytes | None, tmp_path: Path) -> None:
    whole, model, run = make(**EVERYTHING), make(**EVERYTHING), tmp_path / "run"
    expected = fit(whole)
    fit(make(**EVERYTHING), epochs=3, checkpoint=mc.CheckpointFolder(run))
    latest = run / "000003-epoch-3-step-15.safetensors"
    latest.write_bytes(latest.read_bytes()[:-5] if damage is None else damage)
    with pytest.warns(mc.MlpcoreWarning, match=r"000003-.*The fit resumes from .*000002-") as noted:
        history = fit(model, resume=run)
    assert [warning.filename for warning in noted] == [__file__]
    assert history.resumed_from == str(run / "000002-epoch-2-step-10.safetensors")
    assert untimed(history) == untimed(expected)
    assert_same(state_of(model), state_of(whole))


def test_where_none_is_whole_nothing_is_trained(tmp_path: Path) -> None:
    model, run = make(), tmp_path / "run"
    with pytest.raises(FileNotFoundError, match="there is no checkpoint"):
        fit(model, resume=run)
    fit(make(), epochs=2, checkpoint=mc.CheckpointFolder(run, best=True))
    for name in names(run):
        (run / name).write_bytes(b"nothing")
    with pytest.raises(mc.ModelFileError, match=r"no checkpoint in .* can be read: .*000002.*000001.*best"):
        fit(model, checkpoint=mc.CheckpointFolder(run), resume=run)
    assert model.trainer.progress.epoch == 0 and len(names(run)) == 3


def test_one_call_serves_start_and_restart(tmp_path: Path) -> None:
    run = mc.CheckpointFolder(tmp_path / "run", keep=2)
    first = fit(make(), epochs=2, checkpoint=run, resume=run)
    assert first.resumed_from is None
    second = fit(make(), epochs=4, checkpoint=run, resume=run)
    assert len(second) == 4 and second.resumed_from == str(tmp_path / "run" / "000002-epoch-2-step-10.safetensors")
    assert untimed(second) == untimed(fit(make(), epochs=4))


def test_a_new_fit_in_a_used_folder_is_the_one_that_is_resumed(tmp_path: Path) -> None:
    """Numbers go on, whatever epochs the files of an earlier fit have; its best is forgotten."""
    run = mc.CheckpointFolder(tmp_path / "run", keep=2, best=True)
    fit(make(seed=1), epochs=4, checkpoint=run)
    fit(make(seed=2), epochs=1, checkpoint=run)
    assert names(tmp_path / "run")[1:] == ["000005-epoch-1-step-5.safetensors", "best.safetensors"]
    assert read(tmp_path / "run" / "best.safetensors", "checkpoint")[0]["fit"]["seed"] == 2
    model = make(seed=2)
    assert len(fit(model, epochs=2, checkpoint=run, resume=run)) == 2
    with pytest.raises(mc.ModelFileError, match="seed is 2 there and 3 here"):  # not passed over: it is whole
        fit(make(seed=3), resume=run)


def test_other_files_in_the_folder_are_left_alone(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("mine")
    (tmp_path / "7-epoch-1-step-2.safetensors").write_text("mine")
    fit(make(), checkpoint=mc.CheckpointFolder(tmp_path, keep=1))
    assert names(tmp_path) == ["000004-epoch-4-step-20.safetensors", "7-epoch-1-step-2.safetensors", "notes.txt"]


def test_what_a_killed_process_was_writing_is_removed(tmp_path: Path) -> None:
    run = tmp_path / "run"
    fit(make(), epochs=1, checkpoint=mc.CheckpointFolder(run))
    left = run / "000002-epoch-1-step-8.safetensors.0.tmp"
    left.write_bytes(b"half")
    fit(make(), epochs=1, checkpoint=mc.CheckpointFolder(run), resume=run)
    assert names(run) == ["000001-epoch-1-step-5.safetensors"]


def test_a_model_changed_at_the_end_is_written_once_more(tmp_path: Path) -> None:
    class Zero:
        def on_fit_end(self, model: mc.Model) -> None:
            model.rate_scale = 0.125

    fit(make(), epochs=2, callbacks=[Zero()], checkpoint=mc.CheckpointFolder(tmp_path / "run"))
    assert len(names(tmp_path / "run")) == 3
    model = make()
    fit(model, epochs=2, callbacks=[], resume=tmp_path / "run")
    assert model.rate_scale == 0.125


def test_a_stack_has_a_folder_for_every_member(tmp_path: Path) -> None:
    def stack() -> mc.Stack:
        return mc.Stack([make(mc.Sequential(mc.Linear(3, 4), mc.Tanh(), mc.Linear(4, 2)), seed=i) for i in range(3)])

    words: dict[str, Any] = {"epochs": 3, "batch_size": 5}
    expected, got = stack(), stack()
    histories = expected.fit(X, Y, **words)
    run = mc.CheckpointFolder(tmp_path / "run", keep=4, every_steps=4)
    stack().fit(X, Y, checkpoint=run, **words)
    assert names(tmp_path / "run") == ["0", "1", "2"]
    for name in ("000003-epoch-2-step-12.safetensors", "000004-epoch-3-step-15.safetensors"):
        os.unlink(tmp_path / "run" / "1" / name)  # so that this member has fallen behind, within an epoch
    resumed = got.fit(X, Y, checkpoint=run, resume=tmp_path / "run", **words)
    assert [untimed(history) for history in resumed] == [untimed(history) for history in histories]
    for model, other in zip(got.models, expected.models, strict=True):
        assert_same(state_of(model), state_of(other))


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ({"keep": 0}, "CheckpointFolder: keep is 0, expected a whole number of 1 or more"),
        ({"every_steps": 1.5}, "every_steps is 1.5, expected a whole number"),
        ({"every_epochs": True}, "every_epochs is True"),
        ({"every_minutes": 0}, "every_minutes is 0, expected a finite number above 0"),
        ({"best": 1}, "best is 1, expected one of True, False"),
    ],
)
def test_wrong_arguments(words: dict[str, Any], said: str) -> None:
    with pytest.raises(mc.ConfigurationError, match=said):
        mc.CheckpointFolder("run", **words)


def test_the_folder_and_the_column_are_checked_before_training(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("mine")
    model = make()
    with pytest.raises(mc.ModelFileError, match="is a file, expected a folder for checkpoints"):
        fit(model, checkpoint=mc.CheckpointFolder(tmp_path / "file"))
    with pytest.raises(FileNotFoundError, match="no directory"):
        fit(model, checkpoint=mc.CheckpointFolder(tmp_path / "none" / "run"))
    with pytest.raises(mc.ConfigurationError, match=r"best is 'val_auc', expected one of 'loss', .*'val_loss'"):
        fit(model, checkpoint=mc.CheckpointFolder(tmp_path / "run", best="val_auc"))
    assert model.trainer.progress.epoch == 0 and names(tmp_path) == ["file"]


def test_it_prints_as_it_is_made() -> None:
    folder = mc.CheckpointFolder("run", keep=5, best="val_r2", every_steps=100)
    assert repr(folder) == "CheckpointFolder('run', keep=5, best='val_r2', every_steps=100)"
    assert os.fspath(replace(folder, folder=Path("other"))) == "other"
    with warnings.catch_warnings(), pytest.raises(TypeError):
        mc.CheckpointFolder(3)  # type: ignore[arg-type]
