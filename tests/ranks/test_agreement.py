"""What ranks decide together: differences are found before the first step, and an error of one is an error of all."""

import copy
import pickle
import threading
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from thread_ranks import checked, on_ranks

import mlpcore as mc
from mlpcore.distributed import Communicator, communicator

X = np.random.default_rng(3).normal(size=(40, 3))
Y = X @ np.array([[1.0], [-1.0], [2.0]])


def model(ranks: Any, width: int = 8, *layers: Any, **words: Any) -> mc.Model:
    net = mc.Sequential(mc.Linear(3, width), mc.Tanh(), *layers, mc.Linear(width, 1))
    return mc.Model(net, mc.SquaredError(), **{"dtype": "float64", "distributed": ranks, **words})


def fit(ranks: Any, one: mc.Model | None = None, **words: Any) -> mc.Model:
    one = model(ranks) if one is None else one
    arguments = {"x": X, "y": Y, "epochs": 3, "batch_size": 16, **words}
    one.fit(arguments.pop("x"), arguments.pop("y"), **arguments)
    return one


def last(ranks: Communicator) -> bool:
    return ranks.rank == ranks.size - 1


def rounded(ranks: Communicator, precision: str) -> mc.Model:
    numpy = mc.get_backend("numpy")
    place = replace(numpy, compile=replace(numpy.compile, precisions=("highest", "tf32")))
    return model(ranks, backend=place, dtype="float32", precision=precision)


LIBRARIES = ("numpy", "array_api_strict")
DIFFERENCES: dict[str, tuple[str, Callable[[Any], mc.Model]]] = {
    "network": ("net.*out_features is 9 on rank 2 and 8 on rank 0", lambda r: fit(r, model(r, 9 if last(r) else 8))),
    "optimizer": ("optimizer.*SGD", lambda r: fit(r, model(r, optimizer=mc.SGD(0.1) if last(r) else mc.Adam()))),
    "dtype": ("dtype is 'float32'", lambda r: fit(r, model(r, dtype="float32" if last(r) else "float64"))),
    "precision": ("precision is 'tf32'", lambda r: fit(r, rounded(r, "tf32" if last(r) else "highest"))),
    "backend": ("backend is 'array_api_strict'", lambda r: fit(r, model(r, backend=LIBRARIES[last(r)]))),
    "compile": ("compile is False", lambda r: fit(r, model(r, compile=not last(r)))),
    "rules": ("l2 is .*0.1", lambda r: fit(r, model(r, l2=0.1 * last(r)))),
    "epochs": ("epochs is 4", lambda r: fit(r, epochs=3 + last(r))),
    "non-finite steps": ("on_nonfinite is 'skip'", lambda r: fit(r, on_nonfinite="skip" if last(r) else "raise")),
    "batches": ("batch_size is 17", lambda r: fit(r, batch_size=16 + last(r))),
    "rows": ("rows is 39 on rank 2 and 40", lambda r: fit(r, x=X[last(r) :], y=Y[last(r) :])),
    "values": ("training data.x is", lambda r: fit(r, x=X + last(r))),
    "targets": ("training data.target is", lambda r: fit(r, y=Y + last(r))),
    "weights": ("training data.weights is", lambda r: fit(r, sample_weight=np.full(40, 1.0 + last(r)))),
    "validation": ("validation_data is", lambda r: fit(r, validation_data=(X, Y) if last(r) else None)),
    "shards": ("rows is 'those of each rank' on rank 2 and 40", lambda r: fit(r, shard="given" if last(r) else "auto")),
    "other model": ("net", lambda r: fit(r, model(r, 8, mc.Dropout()) if last(r) else model(r))),
}


@pytest.mark.parametrize("case", DIFFERENCES)
def test_differences_between_ranks_are_found_before_the_first_step(case: str) -> None:
    named, work = DIFFERENCES[case]
    for error in on_ranks(3, work):
        assert isinstance(error, mc.RankError), error
        with pytest.raises(mc.RankError, match=named):
            raise error
        assert "all ranks must make the same call" in str(error)


def test_rows_of_their_own_may_differ_in_number_but_not_in_columns() -> None:
    found = on_ranks(2, lambda r: fit(r, x=X[:, : 3 - r.rank], shard="given"))
    assert isinstance(found[1], mc.DataError) and "rank 1: DataError" in str(found[0])
    found = on_ranks(2, lambda r: fit(r, y=Y.astype("float32") if r.rank else Y, shard="given"))
    checked(found)


def test_an_error_on_one_rank_before_training_is_raised_on_all() -> None:
    bad = X.copy()
    bad[7, 1] = np.nan
    first, second = on_ranks(2, lambda r: fit(r, x=bad if r.rank else X, shard="given"))
    assert isinstance(second, mc.DataError)
    assert isinstance(first, mc.RankError) and str(first).startswith("rank 1: DataError: x has NaN or infinity")


def test_initial_parameters_and_seed_are_those_of_rank_0() -> None:
    whole = fit(None, model(None, 8, mc.Dropout(0.5), seed=11))
    for one in checked(on_ranks(2, lambda r: fit(r, model(r, 8, mc.Dropout(0.5), seed=11 + r.rank)))):
        np.testing.assert_allclose(one.predict(X), whole.predict(X), rtol=0, atol=1e-12)


def test_rows_that_depend_on_each_other_are_refused() -> None:
    for error in on_ranks(2, lambda r: fit(r, model(r, 8, mc.BatchNorm(8)))):
        assert isinstance(error, mc.ConfigurationError) and "use LayerNorm in place of BatchNorm" in str(error)


def test_balanced_classes_need_all_rows() -> None:
    for error in on_ranks(2, lambda r: fit(r, shard="given", class_weight="balanced")):
        assert isinstance(error, mc.ConfigurationError) and "pass a dict" in str(error)
    with pytest.raises(mc.ConfigurationError, match="shard is 'rows'"):
        fit(None, shard="rows")


class Callback:
    """Raises an error after an epoch, or stops, or changes the model; counts its calls."""

    def __init__(self, action: Callable[[mc.Report], Any]) -> None:
        self.action, self.calls = action, list[str]()

    def on_fit_begin(self, model: Any, epochs: int) -> None:
        self.calls.append("begin")

    def on_epoch_end(self, report: mc.Report) -> Any:
        self.calls.append("epoch")
        return self.action(report)

    def on_fit_end(self, model: Any) -> None:
        self.calls.append("end")


def failing(report: mc.Report) -> None:
    raise OSError("the disk is full")


def test_callbacks_are_called_on_rank_0_and_obeyed_by_all() -> None:
    def work(ranks: Any) -> tuple[mc.Model, mc.History, list[str]]:
        one, callback = model(ranks), Callback(lambda report: mc.Stop("enough") if report.epoch == 2 else None)
        return one, one.fit(X, Y, epochs=5, callbacks=[callback]), callback.calls

    (_, first, calls), (_, second, none) = checked(on_ranks(2, work))
    assert calls == ["begin", "epoch", "epoch", "end"] and none == []
    assert len(first) == 2 and first.rows == second.rows and first.stopped == second.stopped == "enough"


def test_an_error_of_a_callback_is_raised_on_all_ranks() -> None:
    first, second = on_ranks(2, lambda r: fit(r, callbacks=[Callback(failing)]))
    assert isinstance(first, OSError)
    assert isinstance(second, mc.RankError) and "rank 0: OSError: the disk is full" in str(second)


def test_a_change_of_the_model_by_a_callback_reaches_all_ranks() -> None:
    def work(ranks: Any) -> mc.Model:
        def change(report: mc.Report) -> None:
            report.model.rate_scale = 0.5

        return fit(ranks, callbacks=[Callback(change)])

    one, other = checked(on_ranks(2, work))
    assert one.rate_scale == other.rate_scale == 0.5
    np.testing.assert_array_equal(one.predict(X), other.predict(X))


def test_ctrl_c_in_a_callback_ends_training_on_all_ranks() -> None:
    def press(report: mc.Report) -> None:
        raise KeyboardInterrupt

    def work(ranks: Any) -> mc.History:
        return model(ranks).fit(X, Y, epochs=5, callbacks=[Callback(press)])

    with pytest.warns(mc.TrainingInterrupted) as caught:
        histories = checked(on_ranks(2, work))
    assert len(caught) == 1  # from rank 0
    for history in histories:
        assert history.stopped == "interrupted" and len(history) == 1


def test_a_loss_that_is_not_finite_is_an_error_of_all_ranks() -> None:
    huge = Y.copy()
    huge[-1] = 1e200  # which only the last rank computes with
    for error in on_ranks(3, lambda r: fit(r, y=huge, shuffle=False)):
        assert isinstance(error, mc.NonFiniteError)


@pytest.mark.parametrize("choice", ["skip", "restore"])
def test_ranks_recover_together(choice: str) -> None:
    """From rows that only the last rank computes with, or a rate that is too large for all."""
    huge = Y.copy()
    huge[-1] = 1e200
    first = mc.SGD(1e-2 if choice == "skip" else 1e77)

    def work(ranks: Any) -> tuple[mc.Model, mc.History]:
        one = mc.Model(mc.Linear(3, 1), mc.SquaredError(), first, dtype="float64", distributed=ranks)
        y = huge if choice == "skip" else Y
        epochs = 3 if choice == "skip" else 1
        return one, one.fit(X, y, epochs=epochs, batch_size=16, shuffle=False, on_nonfinite=choice)

    with pytest.warns(mc.MlpcoreWarning) as caught:
        found = checked(on_ranks(3, work))
    assert len(caught) == 1  # from rank 0
    with pytest.warns(mc.MlpcoreWarning):
        whole, expected = work(None)
    column = {"skip": "skipped", "restore": "restored"}[choice]
    assert min(expected[column]) > 0
    for one, history in found:
        assert history[column] == expected[column] and one.rate_scale == whole.rate_scale
        np.testing.assert_allclose(one.predict(X), whole.predict(X), rtol=1e-10)


def test_an_error_within_a_step_ends_the_job() -> None:
    aborted = ["", ""]

    def work(ranks: Any) -> None:
        one = model(ranks)
        if ranks.rank:
            one.trainer.run.gradient = lambda *arguments: 1 / 0
        try:
            fit(ranks, one)
        finally:
            aborted[ranks.rank] = ranks.aborted

    on_ranks(2, work)
    assert aborted[1].startswith("rank 1: ZeroDivisionError: division by zero (in epoch 1); the other ranks wait")


def test_an_error_of_one_rank_between_checks_and_steps_ends_the_job(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mlpcore.model.divide", lambda *arguments: [].pop())

    def work(ranks: Any) -> str:
        with pytest.raises((IndexError, threading.BrokenBarrierError)):
            fit(ranks)
        return str(ranks.aborted)

    aborted = checked(on_ranks(2, work))
    assert any("IndexError: pop from empty list (in fit); the other ranks wait" in message for message in aborted)


def test_two_models_in_one_job_do_not_mix() -> None:
    def work(ranks: Any) -> list[np.ndarray]:
        one, other = model(ranks, seed=1), model(ranks, 5, seed=2)
        for _ in range(2):
            fit(ranks, one)
            fit(ranks, other)
        return [one.predict(X), other.predict(X)]

    alone = [fit(None, fit(None, model(None, width, seed=seed))).predict(X) for width, seed in ((8, 1), (5, 2))]
    for found in checked(on_ranks(2, work)):
        np.testing.assert_allclose(found, alone, rtol=0, atol=1e-12)


def test_copies_belong_to_the_same_ranks() -> None:
    def work(ranks: Any) -> None:
        one = model(ranks)
        for other in (copy.copy(one), copy.deepcopy(one), one.to("numpy")):
            assert other.trainer.communicator is ranks
        assert pickle.loads(pickle.dumps(one)).trainer.communicator.size == 1

    checked(on_ranks(2, work))


@pytest.mark.parametrize("distributed", [None, "auto"])
def test_copies_keep_the_argument_distributed(distributed: str | None) -> None:
    one = model(distributed)
    for other in (copy.copy(one), one.to("numpy"), pickle.loads(pickle.dumps(one))):
        assert other.distributed == distributed


@pytest.mark.parametrize("resumed", [1, 2, 4])
def test_a_fit_resumes_with_another_number_of_ranks(tmp_path: Path, resumed: int) -> None:
    path, arguments = tmp_path / "run", {"callbacks": [], "batch_size": 8}
    whole = model(None, 8, mc.Dropout(0.2))
    history = whole.fit(X, Y, epochs=6, validation_data=(X, Y), **arguments)
    on_ranks(
        3,
        lambda r: fit(r, model(r, 8, mc.Dropout(0.2)), epochs=4, validation_data=(X, Y), checkpoint=path, **arguments),
    )

    def work(ranks: Any) -> tuple[mc.Model, mc.History]:
        one = model(ranks, 8, mc.Dropout(0.2))
        return one, one.fit(X, Y, epochs=6, validation_data=(X, Y), checkpoint=path, resume=path, **arguments)

    for one, own in checked(on_ranks(resumed, work)):
        np.testing.assert_allclose(one.predict(X), whole.predict(X), rtol=0, atol=1e-12)
        np.testing.assert_allclose(own["val_loss"], history["val_loss"], rtol=1e-12)


def test_a_missing_checkpoint_is_an_error_of_all_ranks(tmp_path: Path) -> None:
    first, second = on_ranks(2, lambda r: fit(r, resume=tmp_path / "none"))
    assert isinstance(first, FileNotFoundError) and isinstance(second, mc.RankError)


@pytest.mark.parametrize("given", [0, 1])
def test_the_paths_of_rank_0_count(tmp_path: Path, given: int) -> None:
    path = tmp_path / "run"

    def work(ranks: Any) -> list[int]:
        own = path if ranks.rank == given else None
        return [len(model(ranks).fit(X, Y, epochs=epochs, checkpoint=own, resume=own)) for epochs in (2, 3)]

    assert checked(on_ranks(2, work)) == [[2, 3]] * 2
    assert path.exists() == (given == 0)


@pytest.mark.parametrize("given", [0, 1])
def test_a_missing_folder_is_an_error_of_all_ranks_where_rank_0_writes(tmp_path: Path, given: int) -> None:
    def work(ranks: Any) -> None:
        fit(ranks, checkpoint=(tmp_path / "none" if ranks.rank == given else tmp_path) / "run")

    first, second = on_ranks(2, work)
    assert isinstance(first, FileNotFoundError) == isinstance(second, mc.RankError) == (given == 0)


def test_a_result_that_cannot_be_sent_is_an_error_of_all_ranks() -> None:
    def keep(report: mc.Report) -> None:
        report.values["note"] = threading.Lock()  # type: ignore[assignment]

    first, second = on_ranks(2, lambda r: fit(r, callbacks=[Callback(keep)]))
    assert isinstance(first, TypeError)
    assert isinstance(second, mc.RankError) and "cannot pickle" in str(second)


def test_a_fit_of_the_same_ranks_within_a_callback_is_refused() -> None:
    def work(ranks: Any) -> None:
        fit(ranks, callbacks=[Callback(lambda report: fit(ranks))])

    first, second = on_ranks(2, work)
    assert isinstance(first, mc.ConfigurationError) and "make this model with distributed=None" in str(first)
    assert isinstance(second, mc.RankError)
    checked(on_ranks(2, lambda r: fit(r, callbacks=[Callback(lambda report: fit(None) and None)])))


def test_the_argument_distributed() -> None:
    assert model(None).trainer.communicator.size == 1
    assert communicator("auto").size == 1  # no launcher started this process
    with pytest.raises(mc.ConfigurationError, match="distributed is 'mpi', expected 'auto', None, or a communicator"):
        model("mpi")
