"""``on_nonfinite`` of the estimators of tables, for one network and for several."""

import pickle
from typing import Any

import numpy as np
import pytest
from optional import optional

sklearn = optional("sklearn")

from sklearn.base import clone  # noqa: E402

import mlpcore as mc  # noqa: E402
from mlpcore.tabular import TabularClassifier, TabularRegressor  # noqa: E402
from mlpcore.tabular.recipes import PlainMLP, TabM  # noqa: E402

ROWS = 40
SIZE, OTHER = np.random.default_rng(0).normal(size=(2, ROWS))
TABLE = {"size": SIZE, "other": OTHER}
AMOUNTS, LABELS = 2 * SIZE + OTHER, np.where(SIZE > 0, "high", "low")
SMALL: dict[str, Any] = {"hidden": (8,), "epochs": 3, "batch_size": 16}
RECIPES = {"mlp": PlainMLP(**SMALL), "tabm": TabM(**SMALL, members=2)}
NAMES = {"skip": "skipped", "restore": "restored"}

pytestmark = pytest.mark.filterwarnings("ignore:.*batches were skipped", "ignore:.*training went back")


class Spoil:
    """Chunks of the second epoch meet NaN so often; with ``forever`` all chunks of all epochs do."""

    def __init__(self, times: int = 1, forever: bool = False) -> None:
        self.times, self.forever = times, forever

    def on_fit_begin(self, model: mc.Model, epochs: int) -> None:
        run, left = model.trainer.run, self.times
        self.start = model.snapshot()

        def spoiling(state: Any, data: Any, order: Any, draw: Any) -> Any:
            nonlocal left
            if self.forever or (model.trainer.progress.epoch == 1 and left > 0):
                left -= 1
                data = data._replace(x=data.x * float("nan"))
            return run(state, data, order, draw)

        model.trainer.run = spoiling


def made(y: np.ndarray, recipe: str = "mlp", **words: Any) -> Any:
    kind = TabularRegressor if y.dtype.kind == "f" else TabularClassifier
    return kind(RECIPES[recipe], **{"random_state": 0, "validation_fraction": 0.0} | words)


@pytest.mark.parametrize("choice", NAMES)
@pytest.mark.parametrize("recipe", RECIPES)
@pytest.mark.parametrize("y", [AMOUNTS, LABELS], ids=["amounts", "labels"])
def test_an_estimator_recovers_as_its_model_does(choice: str, recipe: str, y: np.ndarray) -> None:
    spoil = Spoil(2)
    one = made(y, recipe, on_nonfinite=choice, callbacks=[spoil]).fit(TABLE, y)
    (member,), (history,) = one.members_, one.histories_
    again = mc.Model(member.net, member.loss, member.optimizer, dtype=member.dtype, seed=member.seed)
    again.restore(spoil.start)
    x = one.encoder_.transform(TABLE)
    target = np.searchsorted(one.classes_, y) if hasattr(one, "classes_") else one._scaling(y[:, None])
    expected = again.fit(x, target, epochs=3, batch_size=16, callbacks=[Spoil(2)], on_nonfinite=choice)
    assert history[NAMES[choice]] == expected[NAMES[choice]] and sum(history[NAMES[choice]]) > 0
    assert history.loss == expected.loss
    for name, leaf in member.snapshot().items():
        np.testing.assert_array_equal(leaf, again.snapshot()[name], err_msg=name)


@pytest.mark.parametrize("choice", NAMES)
def test_each_member_has_its_history(choice: str) -> None:
    one = made(AMOUNTS, n_ensemble=3, validation_fraction=0.2, on_nonfinite=choice, callbacks=[Spoil()])
    one.fit(TABLE, AMOUNTS)
    assert len(one.histories_) == 3
    for history, scores in zip(one.histories_, one.validation_scores_, strict=True):
        assert sum(history[NAMES[choice]]) > 0 and history["val_score"] == scores and len(history) == 3
    again = pickle.loads(pickle.dumps(one.set_params(callbacks=[])))
    assert [history.loss for history in again.histories_] == [history.loss for history in one.histories_]


@pytest.mark.parametrize("members", [1, 2])
@pytest.mark.parametrize(
    ("choice", "said"),
    [("raise", "became infinite"), ("skip", "batches were skipped"), ("restore", "back .* 5 times")],
)
def test_what_does_not_help_is_an_error(members: int, choice: str, said: str) -> None:
    """Of several networks one that has not completed an epoch only causes a warning, all of them an error."""
    one = made(AMOUNTS, n_ensemble=members, on_nonfinite=choice, callbacks=[Spoil(forever=True)])
    if members == 1:
        with pytest.raises(mc.NonFiniteError, match=said):
            one.fit(TABLE, AMOUNTS)
        return
    with (
        pytest.warns(mc.MlpcoreWarning, match="infinite or NaN in members 0, 1"),
        pytest.raises(mc.NonFiniteError, match=r"^none of the 2 networks has completed an epoch"),
    ):
        one.fit(TABLE, AMOUNTS)


def test_the_argument_is_one_of_the_estimator() -> None:
    one = made(LABELS, on_nonfinite="skip")
    assert one.get_params()["on_nonfinite"] == clone(one).on_nonfinite == "skip"
    np.testing.assert_array_equal(
        one.fit(TABLE, LABELS).predict_proba(TABLE), made(LABELS).fit(TABLE, LABELS).predict_proba(TABLE)
    )
    with pytest.raises(ValueError, match=r"'on_nonfinite' parameter of TabularClassifier must be a str among"):
        made(LABELS, on_nonfinite="ignore").fit(TABLE, LABELS)
