"""scikit-learn's own callbacks on our estimators: tasks, scores of every epoch, stops, searches and errors."""

from typing import Any

import numpy as np
import pytest
from optional import optional

sklearn_callback = pytest.importorskip("sklearn.callback", reason="scikit-learn before 1.9")
optional("pandas")
from sklearn.metrics import log_loss  # noqa: E402
from sklearn.model_selection import GridSearchCV  # noqa: E402
from sklearn.pipeline import make_pipeline  # noqa: E402
from sklearn.preprocessing import StandardScaler  # noqa: E402

from mlpcore.sklearn import MLPClassifier, MLPRegressor  # noqa: E402

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
RNG = np.random.default_rng(0)
X = RNG.normal(size=(80, 3))
Y = np.where(X[:, 0] > 0, "yes", "no")


class Record:
    """A callback that notes all that it is called with; ends the fit after ``stop`` epochs."""

    def __init__(self, stop: int = -1) -> None:
        self.calls: list[Any] = []
        self.fitted: list[Any] = []
        self.stop = stop

    def setup(self, estimator: Any, context: Any) -> None:
        self.calls.append("setup")

    def teardown(self, estimator: Any, context: Any) -> None:
        self.calls.append("teardown")

    def on_fit_task_begin(self, estimator: Any, context: Any) -> None:
        self.calls.append(("begin", context.task_name, context.task_id))

    def on_fit_task_end(self, estimator: Any, context: Any, *, fitted_estimator: Any = None) -> bool:
        self.calls.append(("end", context.task_name, context.task_id))
        self.fitted.append(fitted_estimator)
        return context.task_name == "epoch" and context.task_id + 1 == self.stop


def of_epoch(number: int) -> list[Any]:
    return [("begin", "epoch", number), ("end", "epoch", number)]


def test_every_epoch_is_a_task_of_the_fit() -> None:
    record = Record()
    MLPClassifier(4, max_iter=2).set_callbacks(record).fit(X, Y)
    whole = ["setup", ("begin", "fit", 0), *of_epoch(0), *of_epoch(1), ("end", "fit", 0), "teardown"]
    assert record.calls == whole


def test_estimators_of_epochs_predict_as_the_network_did() -> None:
    record = Record()
    network = MLPClassifier(4, max_iter=3, random_state=0).set_callbacks(record).fit(X, Y)
    for epochs, fitted in enumerate(record.fitted[:3], start=1):
        alone = MLPClassifier(4, max_iter=epochs, random_state=0).fit(X, Y)
        np.testing.assert_array_equal(fitted.predict_proba(X), alone.predict_proba(X))
    np.testing.assert_array_equal(record.fitted[3].predict_proba(X), network.predict_proba(X))


def test_callbacks_change_no_bit_of_the_result() -> None:
    plain = MLPRegressor(hidden_layer_sizes=4, max_iter=5, random_state=0).fit(X, X[:, 0])
    called = MLPRegressor(hidden_layer_sizes=4, max_iter=5, random_state=0).set_callbacks(Record()).fit(X, X[:, 0])
    np.testing.assert_array_equal(plain.predict(X), called.predict(X))


def test_a_callback_that_returns_true_ends_the_fit() -> None:
    record = Record(stop=2)
    network = MLPClassifier(4, max_iter=9).set_callbacks(record).fit(X, Y)
    assert network.n_iter_ == 2
    begun, ended = ([call for call in record.calls if call[0] == word] for word in ("begin", "end"))
    assert len(begun) == len(ended)  # also of the epoch that had begun


def test_scores_have_weights() -> None:
    monitor, weights = sklearn_callback.ScoringMonitor(scoring="neg_log_loss"), RNG.uniform(size=80)
    network = MLPClassifier(4, max_iter=2).set_callbacks(monitor).fit(X, Y, sample_weight=weights)
    scores = [row["neg_log_loss"] for row in monitor.get_logs().data]
    expected = -log_loss(Y, network.predict_proba(X), sample_weight=weights)
    assert len(scores) == 3 and scores[-1] == pytest.approx(expected, rel=1e-6) == scores[0]


@pytest.mark.parametrize("words", [{"n_members": 2}, {"solver": "lbfgs"}], ids=["ensemble", "lbfgs"])
def test_other_fits_are_one_task(words: dict[str, Any]) -> None:
    record = Record()
    network = MLPClassifier(4, max_iter=3, **words).set_callbacks(record).fit(X, Y)
    assert record.calls == ["setup", ("begin", "fit", 0), ("end", "fit", 0), "teardown"]
    np.testing.assert_array_equal(record.fitted[0].predict(X), network.predict(X))


def test_partial_fit_calls_none() -> None:
    record = Record()
    MLPClassifier(4).set_callbacks(record).partial_fit(X, Y, classes=["no", "yes"])
    assert not record.calls


def test_a_fit_that_fails_is_torn_down_and_changes_nothing() -> None:
    record = Record()
    network = MLPClassifier(4, max_iter=2).fit(X, Y)
    before = network.predict_proba(X)
    with pytest.raises(ValueError, match="NaN"):
        network.set_callbacks(record).fit(np.full_like(X, np.nan), Y)
    assert record.calls[-1] == "teardown" and not hasattr(network, "_callback_fit_ctx")
    np.testing.assert_array_equal(network.predict_proba(X), before)


def test_a_search_and_a_pipeline_hand_theirs_on() -> None:
    monitor = sklearn_callback.ScoringMonitor(scoring="accuracy")
    network = MLPClassifier(4, max_iter=3, random_state=0).set_callbacks(monitor)
    GridSearchCV(make_pipeline(StandardScaler(), network), {"mlpclassifier__alpha": [1e-4, 1.0]}, cv=2).fit(X, Y)
    names = [row["task_name"] for row in monitor.get_logs().data]
    assert names.count("epoch") == 3 * 5


def test_a_progress_bar(capsys: pytest.CaptureFixture) -> None:
    optional("rich")
    MLPClassifier(4, max_iter=3).set_callbacks(sklearn_callback.ProgressBar()).fit(X, Y)
    assert "MLPClassifier - fit" in capsys.readouterr().out
