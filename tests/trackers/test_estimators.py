"""Trackers among the callbacks of estimators, of networks for tables, of searches, and of several ranks."""

import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from optional import optional
from thread_ranks import checked, on_ranks
from tracked import X, Y, fit, lines, model, scalars

import mlpcore as mc

optional("sklearn")
from joblib import parallel_config  # noqa: E402
from sklearn.exceptions import ConvergenceWarning  # noqa: E402
from sklearn.model_selection import GridSearchCV  # noqa: E402

from mlpcore.sklearn import MLPClassifier, MLPRegressor  # noqa: E402

warnings.simplefilter("ignore", ConvergenceWarning)


def losses(path: Path) -> list[float]:
    return [float(row["loss"]) for row in lines(path)]


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
class TestOfEstimators:
    def test_the_loss_curve(self, tmp_path: Path) -> None:
        callbacks = [mc.CSVLog(tmp_path / "log.csv")]
        network = MLPClassifier(4, max_iter=4, random_state=0, early_stopping=True, callbacks=callbacks).fit(X, Y)
        assert losses(tmp_path / "log.csv") == network.loss_curve_
        scores = [float(row["val_score"]) for row in lines(tmp_path / "log.csv")]
        assert scores == network.validation_scores_

    def test_partial_fits_are_one_run_and_fits_one_each(self, tmp_path: Path) -> None:
        network = MLPRegressor(
            hidden_layer_sizes=4, max_iter=2, random_state=0, callbacks=[mc.CSVLog(tmp_path / "log.csv")]
        )
        for _ in range(3):
            network.partial_fit(X, Y)
        assert [row["epoch"] for row in lines(tmp_path / "log.csv")] == ["1", "2", "3"]
        network.fit(X, Y)
        assert losses(tmp_path / "log-2.csv") == network.loss_curve_ and len(losses(tmp_path / "log.csv")) == 3

    def test_every_member_of_an_ensemble_has_a_run(self, tmp_path: Path) -> None:
        network = MLPClassifier(4, max_iter=2, n_members=3, callbacks=[mc.CSVLog(tmp_path / "log.csv")]).fit(X, Y)
        written = sorted(losses(path) for path in tmp_path.glob("log*.csv"))
        assert written == sorted(member.loss_curve_ for member in network.estimators_)

    def test_every_fold_of_a_search_has_a_run(self, tmp_path: Path) -> None:
        network = MLPClassifier(4, max_iter=2, callbacks=[mc.CSVLog(tmp_path / "log.csv")], random_state=0)
        with parallel_config("loky", n_jobs=2):
            search = GridSearchCV(network, {"alpha": [1e-4, 1.0]}, cv=2).fit(X, Y)
        written = [losses(path) for path in tmp_path.glob("log*.csv")]
        assert len(written) == 5 and {len(run) for run in written} == {2}
        assert search.best_estimator_.loss_curve_ in written

    def test_for_tensorboard(self, tmp_path: Path) -> None:
        optional("tensorboard")
        network = MLPClassifier(4, max_iter=3, callbacks=[mc.TensorBoard(tmp_path)], random_state=0).fit(X, Y)
        np.testing.assert_allclose([loss for _, loss in scalars(tmp_path / "run", "loss")], network.loss_curve_, 1e-6)

    def test_the_model_file_in_mlflow_has_the_best_weights(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        mlflow = optional("mlflow")
        monkeypatch.setenv("MLFLOW_DISABLE_TELEMETRY", "true")
        monkeypatch.chdir(tmp_path)
        callback = mc.MLflow(tracking_uri=f"sqlite:///{tmp_path / 'runs.db'}")
        words: dict[str, Any] = {"learning_rate_init": 0.5, "n_iter_no_change": 3, "max_iter": 30, "random_state": 1}
        network = MLPClassifier(4, early_stopping=True, callbacks=[callback], **words).fit(X, Y)
        assert np.argmax(network.validation_scores_) < len(network.validation_scores_) - 1  # the last are others
        client = mlflow.MlflowClient(callback.tracking_uri)
        path = client.download_artifacts(callback.run, "model.safetensors", str(tmp_path))
        np.testing.assert_array_equal(mc.load(path).predict(X), network.predict_proba(X)[:, 1:])


class AtTheEnd:
    """Notes the predictions of the model after every epoch, and when the fit ends, as one that saves it would."""

    def on_fit_begin(self, network: Any, epochs: int) -> None:
        self.epochs: list[np.ndarray] = []

    def on_epoch_end(self, report: Any) -> None:
        self.epochs.append(report.model.predict(X))

    def on_fit_end(self, network: Any) -> None:
        self.prediction = network.predict(X)


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
def test_callbacks_see_the_best_weights_at_the_end_of_a_fit() -> None:
    callback = AtTheEnd()
    words: dict[str, Any] = {"learning_rate_init": 0.5, "n_iter_no_change": 3, "max_iter": 30, "random_state": 1}
    network = MLPClassifier(4, early_stopping=True, callbacks=[callback], **words).fit(X, Y)
    assert np.argmax(network.validation_scores_) < len(network.validation_scores_) - 1  # the last are others
    np.testing.assert_array_equal(callback.prediction, network.predict_proba(X)[:, 1:])
    np.testing.assert_array_equal(callback.prediction, callback.epochs[np.argmax(network.validation_scores_)])
    assert np.any(callback.prediction != callback.epochs[-1])


@pytest.mark.parametrize("members", [1, 2])
def test_networks_for_tables(members: int, tmp_path: Path) -> None:
    optional("polars")
    from mlpcore.tabular import TabularClassifier, TabularRegressor

    log = mc.CSVLog(tmp_path / "log.csv")
    words: dict[str, Any] = {"max_epochs": 3, "random_state": 0, "n_ensemble": members, "callbacks": [log]}
    network = TabularClassifier("mlp", **words).fit(X, Y)
    written = [lines(path) for path in sorted(tmp_path.glob("log*.csv"))]
    assert sorted([float(row["val_score"]) for row in rows] for rows in written) == sorted(network.validation_scores_)
    TabularRegressor("mlp", **words).fit(X, X[:, 0])
    assert len(list(tmp_path.glob("log*.csv"))) == 2 * members


def test_of_several_ranks_the_first_writes(tmp_path: Path) -> None:
    def work(ranks: Any) -> list[float]:
        return fit([mc.CSVLog(tmp_path / "log.csv")], model(distributed=ranks), epochs=3).loss

    first, second = checked(on_ranks(2, work))
    assert first == second == losses(tmp_path / "log.csv") and len(list(tmp_path.iterdir())) == 1
