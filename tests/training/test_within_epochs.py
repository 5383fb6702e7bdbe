"""Checkpoints within epochs: a fit killed between any two steps is resumed from the last one that is due."""

import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from devices import gpu
from fitting import EVERYTHING, FIT, ROWS, X, Y, assert_same, differ, make, state_of, untimed, with_extras
from thread_ranks import checked, on_ranks

import mlpcore as mc
from mlpcore.files.tensors import kind_of, read

STEPS = 5  # in an epoch of 22 rows in batches of 5, of which the last has 2
WEIGHTS = np.linspace(0.5, 2.0, ROWS)
ONE_STEP = with_extras(mc.get_backend("numpy"), max_chunk_steps=1)


class Killed(BaseException):
    """As a power cut: nobody catches it."""


def rules() -> list[Any]:
    return [mc.EarlyStopping(patience=9), mc.ReduceOnPlateau("loss", factor=0.5, patience=1, min_delta=1e6)]


def fit(model: mc.Model, **words: Any) -> mc.History:
    return model.fit(X, Y, **(FIT | {"epochs": 4, "callbacks": rules()} | words))


def killed_after(model: mc.Model, chunks: int, **words: Any) -> None:
    """A fit that ends in the chunk after so many."""
    run, done = model.trainer.run, []

    def counted(*arguments: Any) -> Any:
        done.append(1)
        if len(done) > chunks:
            raise Killed
        return run(*arguments)

    vars(model.trainer)["run"] = counted
    with pytest.raises(Killed):
        fit(model, **words)


def names(folder: Path) -> list[str]:
    return sorted(os.listdir(folder))


@pytest.mark.parametrize("kills", [(1, 5, 7), pytest.param(range(1, 2 * STEPS + 2), marks=pytest.mark.long)])
@pytest.mark.parametrize(("every", "weights"), [(1, None), (2, WEIGHTS), (3, WEIGHTS)])
def test_a_fit_killed_within_an_epoch_is_resumed_within_it(
    every: int, weights: Any, kills: Any, tmp_path: Path
) -> None:
    """The same state, history and rules, bit by bit, wherever it was killed."""
    words = EVERYTHING | {"backend": ONE_STEP}
    whole = make(**words)
    expected = fit(whole, sample_weight=weights)
    for chunks in kills:
        run = mc.CheckpointFolder(tmp_path / str(chunks), every_steps=every)
        killed_after(make(**words), chunks, checkpoint=run, sample_weight=weights)
        model = make(**words)
        history = fit(model, checkpoint=run, resume=run, sample_weight=weights)
        if chunks >= every:
            done = chunks // every * every
            assert history.resumed_from is not None
            assert f"epoch-{done // STEPS}-step-{done}." in history.resumed_from, "a later one was there"
        assert_same(state_of(model), state_of(whole))
        assert untimed(history) == untimed(expected)


@pytest.mark.parametrize("compiled", [True, False])
def test_chunks_end_where_a_checkpoint_is_due(compiled: bool, tmp_path: Path) -> None:
    """With chunks longer than that, and compiled code: after a kill no more than the steps since are lost."""
    whole = make(compile=compiled, **EVERYTHING)
    expected = fit(whole)
    run = mc.CheckpointFolder(tmp_path / "run", keep=100, every_steps=3)
    written = make(compile=compiled, **EVERYTHING)
    assert untimed(fit(written, checkpoint=run)) == untimed(expected)
    assert_same(state_of(written), state_of(whole))
    files = names(tmp_path / "run")
    assert [name.split("step-")[1] for name in files] == [f"{n}.safetensors" for n in (3, 6, 9, 12, 15, 18, 20)]
    for name in files:
        model = make(compile=compiled, **EVERYTHING)
        history = fit(model, resume=tmp_path / "run" / name)
        assert history.resumed_from == str(tmp_path / "run" / name)
        assert untimed(history) == untimed(expected), name
        assert_same(state_of(model), state_of(whole))


@pytest.mark.parametrize("other", ["array_api_strict", gpu("cupy")])
def test_another_backend_resumes_within_an_epoch(other: str, tmp_path: Path) -> None:
    try:
        model = make(backend=other, **EVERYTHING)
    except mc.BackendUnavailable as error:
        pytest.skip(str(error))
    whole = make(**EVERYTHING)
    expected = fit(whole)
    fit(make(**EVERYTHING), checkpoint=mc.CheckpointFolder(tmp_path / "run", keep=100, every_steps=7))
    history = fit(model, resume=tmp_path / "run" / "000001-epoch-1-step-7.safetensors")
    np.testing.assert_allclose(history.loss, expected.loss, rtol=1e-9)
    np.testing.assert_allclose(model.predict(X), whole.predict(X), rtol=1e-9)


def test_ranks_pause_together(tmp_path: Path) -> None:
    """Rank 0 alone knows where checkpoints go; another number of ranks goes on within the epoch."""
    net = mc.Sequential(mc.Linear(3, 4), mc.Tanh(), mc.Dropout(0.2), mc.Linear(4, 2))
    words: dict[str, Any] = {"epochs": 3, "batch_size": 5}

    def work(ranks: mc.distributed.Communicator) -> Any:
        model = make(net, distributed=ranks)
        run = mc.CheckpointFolder(tmp_path / "run", keep=9, every_steps=4) if ranks.rank == 0 else None
        model.fit(X, Y, checkpoint=run, **words)
        return state_of(model)

    expected = make(net)
    expected.fit(X, Y, **words)
    for state in checked(on_ranks(2, work)):
        for name, leaf in state.items():
            np.testing.assert_allclose(leaf, state_of(expected)[name], rtol=1e-9, atol=1e-12)
    name = "000002-epoch-1-step-8.safetensors"
    assert name in names(tmp_path / "run")

    def resume(ranks: mc.distributed.Communicator) -> Any:
        model = make(net, distributed=ranks)
        history = model.fit(X, Y, resume=tmp_path / "run" / name, **words)
        return history.loss, model.predict(X)

    one = make(net)
    losses = one.fit(X, Y, resume=tmp_path / "run" / name, **words).loss
    for found, prediction in checked(on_ranks(3, resume)):
        np.testing.assert_allclose(found, losses, rtol=1e-9)
        np.testing.assert_allclose(prediction, one.predict(X), rtol=1e-9)


def test_a_forged_list_of_losses_is_refused(tmp_path: Path) -> None:
    from mlpcore.files.tensors import write

    fit(make(), checkpoint=mc.CheckpointFolder(tmp_path / "run", keep=9, every_steps=3))
    path = tmp_path / "run" / "000001-epoch-0-step-3.safetensors"
    about, tensors = read(path, "checkpoint")
    assert kind_of(path) == "checkpoint" and tensors["losses"].shape == (3,)
    about = {name: value for name, value in about.items() if name not in ("sha256", "version", "kind")}
    for losses in (np.zeros((3, 1)), np.zeros(3, dtype="float32")):
        write(path, "checkpoint", about, tensors | {"losses": losses})
        model = make()
        before = state_of(model)
        with pytest.raises(mc.ModelFileError, match="progress or history cannot be read"):
            fit(model, resume=path)
        assert not differ(state_of(model), before)
