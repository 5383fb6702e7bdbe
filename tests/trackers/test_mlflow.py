"""MLflow: what a tracking store in SQLite holds after a fit, and after one that was killed and resumed."""

import os
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from optional import optional
from tracked import KillAt, Killed, X, Y, fit, model

import mlpcore as mc
from mlpcore.errors import ConfigurationError, MissingDependency, MlpcoreWarning, NonFiniteError

os.environ["MLFLOW_DISABLE_TELEMETRY"] = "true"  # no network in tests
mlflow = optional("mlflow")
PAGE = Path(__file__).parent.parent.parent / "docs" / "trackers.md"


@pytest.fixture(scope="module")
def uri(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The address of a store, which MLflow takes seconds to make."""
    return f"sqlite:///{tmp_path_factory.mktemp('store') / 'runs.db'}"


@pytest.fixture
def store(uri: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """A client of the store; artifacts of new experiments are below the temporary folder."""
    monkeypatch.chdir(tmp_path)
    yield mlflow.MlflowClient(uri)


def history_of(store: Any, run: str, name: str) -> list[tuple[int, float]]:
    return [(metric.step, metric.value) for metric in store.get_metric_history(run, name)]


def runs(store: Any, experiment: str) -> list[Any]:
    found = store.get_experiment_by_name(experiment)
    return store.search_runs([found.experiment_id], order_by=["attributes.start_time"]) if found else []


def test_a_run_holds_settings_history_and_the_model(store: Any, uri: str, tmp_path: Path) -> None:
    network = model(0.25, seed=3)
    words: dict[str, Any] = {"tags": {"author": "me"}, "params": {"rows (all)": 60}, "run_name": "first"}
    callback = mc.MLflow("whole", tracking_uri=uri, **words)
    history = fit([callback], network)
    assert callback.run is not None
    run = store.get_run(callback.run)
    assert run.info.status == "FINISHED" and run.info.run_name == "first" and run.data.tags["author"] == "me"
    expected = {"optimizer": "Adam", "optimizer.learning_rate": "0.25", "batch_size": "20", "seed": "3"}
    expected |= {"rows _all_": "60", "network": "Sequential(Linear(3, 4), ReLU(), Linear(4, 2))"}
    assert run.data.params.items() >= expected.items()
    assert set(run.data.metrics) == {*history.columns, "seconds"}
    for name in history.columns:
        assert history_of(store, callback.run, name) == [*enumerate(history[name], start=1)]
    path = store.download_artifacts(callback.run, "model.safetensors", str(tmp_path))
    np.testing.assert_array_equal(mc.load(path).predict(X), network.predict(X))


@pytest.mark.parametrize("epoch", [1, 3])
def test_a_resumed_fit_goes_on_in_its_run(epoch: int, store: Any, uri: str, tmp_path: Path) -> None:
    name, paths = f"resumed {epoch}", {"checkpoint": tmp_path / "checkpoint", "resume": tmp_path / "checkpoint"}
    with pytest.raises(Killed):
        fit([mc.MLflow(name, tracking_uri=uri), KillAt(epoch)], **paths)
    (first,) = runs(store, name)
    assert first.info.status == "FAILED" and not store.list_artifacts(first.info.run_id)
    history = fit([mc.MLflow(name, tracking_uri=uri)], **paths)
    found = runs(store, name)
    assert len(found) == (2 if epoch == 1 else 1)  # before the first checkpoint there is no run
    last = found[-1].info
    assert last.status == "FINISHED" and len(store.list_artifacts(last.run_id)) == 1
    assert history_of(store, last.run_id, "loss") == [*enumerate(history.loss, start=1)]
    assert [step for step, _ in history_of(store, last.run_id, "seconds")] == [1, 2, 3, 4, 5]


def test_a_resume_that_trains_nothing_ends_the_run(store: Any, uri: str, tmp_path: Path) -> None:
    callback = mc.MLflow("ended", tracking_uri=uri)
    fit([callback], checkpoint=tmp_path / "checkpoint")
    store.update_run(callback.run, status="RUNNING")  # as after a kill before the end of the fit
    fit([mc.MLflow("ended", tracking_uri=uri)], resume=tmp_path / "checkpoint")
    assert [run.info.status for run in runs(store, "ended")] == ["FINISHED"]


def test_members_of_a_stack_have_runs_below_their_parent(store: Any, uri: str) -> None:
    parent = store.create_run("0", run_name="search").info.run_id
    stack = mc.Stack([model(rate) for rate in (0.001, 0.1)])
    histories = stack.fit(X, Y, epochs=2, callbacks=[mc.MLflow("stack", tracking_uri=uri, parent=parent)])
    found = {float(run.data.params["optimizer.learning_rate"]): run for run in runs(store, "stack")}
    assert set(found) == {0.001, 0.1}
    for rate, history in zip((0.001, 0.1), histories, strict=True):
        assert found[rate].data.tags["mlflow.parentRunId"] == parent
        assert history_of(store, found[rate].info.run_id, "loss") == [*enumerate(history.loss, start=1)]


def test_the_model_file_has_the_best_weights_after_early_stopping(store: Any, uri: str, tmp_path: Path) -> None:
    network, callback = model(3.0), mc.MLflow("best", tracking_uri=uri)
    fit([mc.EarlyStopping(patience=2), callback], network, epochs=30)
    path = store.download_artifacts(callback.run, "model.safetensors", str(tmp_path))
    np.testing.assert_array_equal(mc.load(path).predict(X), network.predict(X))


class Own(mc.Identity):
    """A layer that no model file can hold."""


def test_a_model_with_own_layers_has_no_file(store: Any, uri: str) -> None:
    network = mc.Model(mc.Sequential(Own(), mc.Linear(3, 2)), mc.SoftmaxCrossEntropy())
    callback = mc.MLflow("own", tracking_uri=uri)
    with pytest.warns(MlpcoreWarning, match="MLflow: the run has no model file: .*Own"):
        network.fit(X, Y, epochs=1, callbacks=[callback])
    assert store.get_run(callback.run).info.status == "FINISHED" and not store.list_artifacts(callback.run)


def test_the_status_is_that_of_the_fit(store: Any, uri: str) -> None:
    callback = mc.MLflow("status", tracking_uri=uri, artifact=None)
    with pytest.raises(NonFiniteError):
        mc.Model(mc.Linear(3, 1), mc.HalfSquaredError(), mc.SGD(1e8)).fit(
            X, X[:, 0], epochs=50, callbacks=[callback], batch_size=60
        )
    try:
        raise ValueError
    except ValueError:  # an error that is no error of the fit
        other = mc.MLflow("status", tracking_uri=uri, artifact=None)
        fit([other])
    states = [store.get_run(run).info.status for run in (callback.run, other.run)]
    assert states == ["FAILED", "FINISHED"] and not store.list_artifacts(other.run)


def test_arguments_are_checked(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ConfigurationError, match="artifact is 'a/b'"):
        mc.MLflow(artifact="a/b")
    monkeypatch.setitem(sys.modules, "mlflow.tracking", None)
    with pytest.raises(MissingDependency, match=r"pip install 'mlpcore\[mlflow\]'"):
        mc.MLflow()


def test_the_example_of_the_page_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (block,) = [block for block in re.findall(r"```py\n(.*?)```", PAGE.read_text(), re.S) if "mc.MLflow" in block]
    names: dict[str, Any] = {"fit": lambda *callbacks: fit(callbacks)}
    exec(compile(block, "trackers.md", "exec"), names)
    assert names["loaded"].predict(X).shape == (60, 2)
