"""What trains in one process does so in a job of several, too: nothing of it waits for other ranks."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from optional import optional
from thread_ranks import on_ranks

import mlpcore as mc
from mlpcore.distributed import launched

X = np.random.default_rng(0).normal(size=(60, 3))
Y = X[:, 0] - X[:, 1]


@pytest.fixture
def job(monkeypatch: pytest.MonkeyPatch) -> None:
    """A process that a launcher has started as one of several, and in which a use of MPI is an error."""

    def refused() -> Any:
        raise AssertionError("MPI is used")

    monkeypatch.setattr(launched, "launched", lambda: True)
    monkeypatch.setattr(launched, "_job", refused)


@pytest.mark.usefixtures("job")
def test_a_model_would_ask_for_ranks() -> None:
    with pytest.raises(AssertionError, match="MPI is used"):
        mc.Model(mc.Linear(3, 1), mc.SquaredError())


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
@pytest.mark.usefixtures("job")
def test_estimators_train_in_one_process() -> None:
    optional("sklearn")
    from sklearn.neural_network import MLPRegressor as Theirs

    from mlpcore.sklearn import MLPRegressor, from_sklearn
    from mlpcore.tabular import TabularRegressor

    MLPRegressor(max_iter=2).fit(X, Y).to_model()
    MLPRegressor(solver="lbfgs", max_iter=2).fit(X, Y)
    TabularRegressor(max_epochs=2, n_ensemble=2).fit(X, Y)
    from_sklearn(Theirs(max_iter=300, warm_start=True).fit(X, Y)).fit(X, Y)


@pytest.mark.usefixtures("job")
def test_stacks_train_in_one_process(tmp_path: Path) -> None:
    stack = mc.Stack([mc.Model(mc.Linear(3, 1), mc.SquaredError(), seed=i, distributed=None) for i in range(2)])
    stack.save(tmp_path / "stack.safetensors")
    mc.Stack.load(tmp_path / "stack.safetensors").fit(X, Y, epochs=1)


def test_a_stack_of_models_of_several_ranks_is_refused() -> None:
    def work(ranks: Any) -> None:
        mc.Stack([mc.Model(mc.Linear(3, 1), mc.SquaredError(), distributed=ranks)]).fit(X, Y)

    for error in on_ranks(2, work):
        assert isinstance(error, mc.ConfigurationError) and "make its members with distributed=None" in str(error)
