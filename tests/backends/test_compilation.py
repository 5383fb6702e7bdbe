"""Whether a model is compiled: decided once, from shapes and from what the machine has; kept, and said."""

import copy
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from compiled import needs_compiler
from fitting import assert_same, state_of

import mlpcore as mc
from mlpcore.backends import compilation
from mlpcore.backends.compilation import Compilation
from mlpcore.compiler import build
from mlpcore.errors import CompilerWarning
from mlpcore.random import Stream

NET = mc.Sequential(mc.Linear(4, 6), mc.Tanh(), mc.Linear(6, 2))
X = Stream(1).normal((200, 4))
Y = X[:, :2] * 0.5


def make(**words: Any) -> mc.Model:
    return mc.Model(NET, mc.SquaredError(), **words)


@pytest.fixture
def no_compiler(monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine without one, on which nothing was said yet."""
    monkeypatch.setattr(build, "find_compiler", lambda: None)
    compilation._say_once.cache_clear()


def failing(text: str) -> Any:
    raise build.CompilerError("cc could not be run: no space left")


@needs_compiler
@pytest.mark.parametrize(
    ("rows", "batch", "kind"), [(200, 10, "C"), (200, 100, "NumPy calls"), (3_000_000, 3_000_000, "C")]
)
def test_auto_compiles_where_an_epoch_is_long_enough(rows: int, batch: int, kind: str) -> None:
    decided = Compilation()
    decided.decide(rows, batch, 100)
    assert decided.kind == kind
    decided.decide(1, 1, 1)  # it is kept
    assert decided.kind == kind and str(rows) in decided.why


@needs_compiler
def test_the_first_fit_decides_for_all_that_follow() -> None:
    model = make()
    model.fit(X, Y, epochs=1, batch_size=10)
    assert model.compiled.kind == "C"
    model.fit(X[:20], Y[:20], epochs=1, batch_size=20)
    assert model.compiled.kind == "C"
    other = make()
    other.fit(X[:20], Y[:20], epochs=1, batch_size=20)
    other.fit(X, Y, epochs=1, batch_size=10)
    assert other.compiled.kind == "NumPy calls"


def test_false_never_compiles(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mlpcore.compiler.program.build", failing)
    model = make(compile=False)
    model.fit(X, Y, epochs=1, batch_size=10)
    assert str(model.compiled) == "NumPy calls: compile=False"


def test_without_a_compiler_one_notice_says_what_to_do(no_compiler: None) -> None:
    with pytest.warns(CompilerWarning, match=r"pip install 'mlpcore\[compiled\]'") as said:
        for _ in range(2):
            model = make()
            model.fit(X, Y, epochs=1, batch_size=10)
    assert len(said) == 1
    assert str(model.compiled) == "NumPy calls: there is no C compiler"


def test_without_a_compiler_small_fits_are_silent_and_true_is_an_error(no_compiler: None) -> None:
    make().fit(X[:20], Y[:20], epochs=1, batch_size=20)
    make(compile=False).fit(X, Y, epochs=1, batch_size=10)
    with pytest.raises(mc.BackendUnavailable, match="compile=True: there is no C compiler"):
        make(compile=True).fit(X, Y, epochs=1)


@needs_compiler
def test_a_compiler_that_fails_is_told_once_and_the_fit_goes_on(monkeypatch: pytest.MonkeyPatch) -> None:
    expected = make(compile=False)
    expected.fit(X, Y, epochs=2, batch_size=10)
    monkeypatch.setattr("mlpcore.compiler.program.library", failing)
    compilation._say_once.cache_clear()
    with pytest.warns(CompilerWarning, match="no space left") as said:
        for _ in range(2):
            model = make()
            model.fit(X, Y, epochs=2, batch_size=10)
    assert len(said) == 1 and model.compiled.kind == "NumPy calls" and "no space left" in model.compiled.why
    assert_same(state_of(model), state_of(expected))
    with pytest.raises(mc.BackendUnavailable, match="no space left"):
        make(compile=True).fit(X, Y, epochs=1)


@needs_compiler
@pytest.mark.parametrize("rows", [20, 200])
def test_copies_go_on_as_the_model_did(rows: int) -> None:
    model = make()
    model.fit(X[:rows], Y[:rows], epochs=2, batch_size=10)
    copies = [copy.deepcopy(model), pickle.loads(pickle.dumps(model)), model.to("numpy")]
    model.fit(X, Y, epochs=2, batch_size=10)
    for other in copies:
        other.fit(X, Y, epochs=2, batch_size=10)
        assert other.compiled.kind == model.compiled.kind == ("C" if rows == 200 else "NumPy calls")
        assert_same(state_of(other), state_of(model))
        np.testing.assert_array_equal(other.predict(X), model.predict(X))


@needs_compiler
@pytest.mark.parametrize("rows", [20, 200])
def test_a_loaded_model_predicts_the_same_bits(rows: int, tmp_path: Path) -> None:
    model = make()
    model.fit(X[:rows], Y[:rows], epochs=2, batch_size=10)
    model.save(tmp_path / "model")
    loaded = mc.load(tmp_path / "model")
    assert loaded.compiled.kind == ("C" if rows == 200 else "")
    np.testing.assert_array_equal(loaded.predict(X), model.predict(X))


@needs_compiler
def test_a_resumed_fit_goes_on_as_the_killed_one(tmp_path: Path) -> None:
    path = tmp_path / "checkpoint"
    whole, killed, resumed = make(), make(), make()
    whole.fit(X, Y, epochs=4, batch_size=10)
    killed.fit(X, Y, epochs=2, batch_size=10, checkpoint=path)
    resumed.fit(X, Y, epochs=4, batch_size=10, resume=path)
    assert resumed.compiled.kind == "C"
    assert_same(state_of(resumed), state_of(whole))


@needs_compiler
def test_a_resume_that_goes_on_otherwise_says_so(tmp_path: Path, request: pytest.FixtureRequest) -> None:
    path = tmp_path / "checkpoint"
    make().fit(X, Y, epochs=1, batch_size=10, checkpoint=path)
    with pytest.warns(mc.MlpcoreWarning, match="was trained with C, and training continues without"):
        make(compile=False).fit(X, Y, epochs=2, batch_size=10, resume=path)
    request.getfixturevalue("no_compiler")
    with pytest.warns(mc.MlpcoreWarning) as said:
        make().fit(X, Y, epochs=2, batch_size=10, resume=path)
    assert any("there is no C compiler, or" in str(one.message) for one in said)
