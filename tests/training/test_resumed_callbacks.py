"""Callbacks with a state: a fit that was killed and resumed ends bit by bit where one that was never killed ends."""

import io
import math
import os
import warnings
from collections import deque
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from devices import gpu
from fitting import LABELS, NET, PLAIN, X, Y, assert_same, classifier, make, state_of, untimed
from hypothesis import given
from hypothesis import strategies as st
from optional import optional
from safetensors.numpy import load_file

import mlpcore as mc
from mlpcore.files import tensors

EPOCHS = 9
OTHERS = ["array_api_strict", *(pytest.param(name, marks=pytest.mark.oracle) for name in ("torch", "jax")), gpu("cupy")]
RULES: dict[str, Any] = {
    "early stopping": lambda: [mc.EarlyStopping(patience=3)],
    "of the last weights": lambda: [mc.EarlyStopping(patience=2, restore_best=False)],
    "the largest": lambda: [mc.EarlyStopping("val_r2", patience=2, min_delta=0.01)],
    "one that never fires": lambda: [mc.EarlyStopping("loss", patience=50)],
    "plateau": lambda: [mc.ReduceOnPlateau("loss", factor=0.5, patience=2, min_delta=10.0)],
    "several": lambda: [
        mc.ReduceOnPlateau(factor=0.3, patience=1),
        mc.EarlyStopping(patience=4),
        mc.EarlyStopping("val_r2", patience=50),
        mc.ReduceOnPlateau("loss", factor=0.9, patience=1, min_delta=0.5),
    ],
}


class Killed(Exception):
    """As a power cut: nobody catches it."""


@dataclass
class At:
    """Raises in the callbacks of an epoch, before its checkpoint."""

    epoch: int
    error: type[BaseException] = Killed

    def on_epoch_end(self, report: Any) -> None:
        if report.epoch == self.epoch:
            raise self.error


def fit(model: mc.Model, callbacks: list, **words: Any) -> mc.History:
    given = {"epochs": EPOCHS, "batch_size": 5, "validation_data": (X[:9] + 1, Y[:9])}
    return model.fit(X, Y, callbacks=callbacks, **(given | words))


def kept(callback: Any) -> dict[str, Any]:
    """All that a rule has counted, by name."""
    return {name: value for name, value in vars(callback).items() if name != "_model"}


def assert_like(got: tuple, whole: tuple) -> None:
    """``(model, callbacks, history)`` of two fits: the same weights, rate, counts and history."""
    assert_same(state_of(got[0]), state_of(whole[0]))
    assert [kept(one) for one in got[1]] == [kept(one) for one in whole[1]]
    assert untimed(got[2]) == untimed(whole[2]) and got[2].stopped == whole[2].stopped


def run(make_model: Any, make_rules: Any, more: tuple = (), **words: Any) -> tuple:
    model, rules = make_model(), make_rules()
    return model, rules, fit(model, [*rules, *more], **words)


def stopped_by(error: type[BaseException], path: Path, make_model: Any, make_rules: Any, epoch: int) -> None:
    """A fit that this error ends in the callbacks of the epoch; Ctrl-C is no error but ends it too."""
    expects = pytest.warns(mc.TrainingInterrupted) if error is KeyboardInterrupt else pytest.raises(error)
    with expects:
        run(make_model, make_rules, (At(epoch, error),), checkpoint=path)


# --- the law


@pytest.mark.parametrize("error", [Killed, pytest.param(KeyboardInterrupt, marks=pytest.mark.long)])
@pytest.mark.parametrize("case", RULES)
def test_a_resumed_fit_is_bit_equal_after_any_epoch(case: str, error: Any, tmp_path: Path) -> None:
    """BatchNorm's statistics and the average come back with the best weights."""

    def make_model() -> mc.Model:
        return make(NET, optimizer=mc.Adam(0.1), metrics=["r2"], ema=0.5, seed=2)

    whole = run(make_model, RULES[case])
    for epoch in range(1, len(whole[2]) + 1):
        path = tmp_path / str(epoch)
        stopped_by(error, path, make_model, RULES[case], epoch)
        assert_like(run(make_model, RULES[case], checkpoint=path, resume=path), whole)


@given(
    values=st.lists(st.sampled_from([0.5, 1.0, 2.0, 3.0, math.nan, math.inf]), min_size=2, max_size=12),
    patience=st.integers(1, 4),
    delta=st.sampled_from([0.0, 0.75]),
    data=st.data(),
)
def test_counts_go_on_whatever_is_monitored(
    values: list, patience: int, delta: float, data: Any, tmp_path_factory: Any
) -> None:
    class Script:
        def on_epoch_end(self, report: Any) -> None:
            report.values["val_loss"] = values[report.epoch - 1]

    def make_rules() -> list:
        words = {"patience": patience, "min_delta": delta}
        return [mc.EarlyStopping(**words), mc.ReduceOnPlateau(factor=0.5, **words)]

    path = tmp_path_factory.mktemp("run") / "checkpoint"
    words = {"epochs": len(values)}
    results = []
    for kills in ([], sorted(data.draw(st.sets(st.integers(1, len(values)), max_size=3)))):
        for epoch in [*kills, 0]:
            model, rules = make(PLAIN), make_rules()
            try:
                history = fit(
                    model,
                    [Script(), *rules, At(epoch)],
                    **words,
                    **({"checkpoint": path, "resume": path} if kills else {}),
                )
            except Killed:
                continue
        results.append((model, rules, history))
    np.testing.assert_equal(untimed(results[1][2]), untimed(results[0][2]))
    results = [(model, rules, mc.History(stopped=history.stopped)) for model, rules, history in results]
    assert_like(results[1], results[0])


@pytest.mark.parametrize("case", RULES)
def test_a_fit_that_has_ended_ends_at_once_in_the_same_place(case: str, tmp_path: Path) -> None:
    def make_model() -> mc.Model:
        return make(PLAIN, optimizer=mc.Adam(0.1), metrics=["r2"])

    path, trained = tmp_path / "run", []

    class Note:
        def on_epoch_end(self, report: Any) -> None:
            trained.append(report.epoch)

    whole = run(make_model, RULES[case], checkpoint=path)
    for _ in range(2):
        assert_like(run(make_model, RULES[case], (Note(),), checkpoint=path, resume=path), whole)
    assert not trained


@pytest.mark.parametrize("case", RULES)
def test_more_epochs_go_on_from_the_last_ones_and_not_from_the_best(case: str, tmp_path: Path) -> None:
    def make_model() -> mc.Model:
        return make(PLAIN, optimizer=mc.Adam(0.1), metrics=["r2"])

    path, whole = tmp_path / "run", run(make_model, RULES[case], epochs=12)
    for epochs in (2, 7, 12):
        found = run(
            make_model,
            RULES[case],
            (mc.Progress(file=io.StringIO()),),
            epochs=epochs,
            checkpoint=path,
            resume=path,
        )
    assert_like(found, whole)


def test_a_rule_begins_anew_in_a_further_fit_that_is_not_resumed(tmp_path: Path) -> None:
    path, rule, models = tmp_path / "run", mc.EarlyStopping("loss", patience=2), (make(PLAIN), make(PLAIN))
    for model in models:
        model.fit(X, Y, epochs=2)
    with pytest.raises(Killed):
        fit(models[0], [rule, At(5)], checkpoint=path)
    again = make(PLAIN)
    again.fit(X, Y, epochs=2)
    assert len(fit(again, [rule], resume=path)) == EPOCHS and rule.best_epoch == EPOCHS + 2
    fit(models[1], [mc.EarlyStopping("loss", patience=2)])
    assert_same(state_of(again), state_of(models[1]))


@pytest.mark.parametrize("backend", OTHERS)
def test_best_weights_go_to_any_backend(backend: str, tmp_path: Path) -> None:
    path, held = tmp_path / "run", (X[:9] + 1, Y[:9])
    try:
        other = make(PLAIN, optimizer=mc.Adam(0.3), backend=backend)
    except mc.BackendUnavailable as error:
        pytest.skip(str(error))

    def make_model() -> mc.Model:
        return make(PLAIN, optimizer=mc.Adam(0.3))

    def make_rules() -> list:
        return [mc.EarlyStopping(patience=3)]

    model, (rule,), history = run(make_model, make_rules)
    assert rule.best_epoch < len(history)
    stopped_by(Killed, path, make_model, make_rules, rule.best_epoch + 2)
    again = make_rules()
    assert len(fit(other, again, checkpoint=path, resume=path)) == len(history)
    assert again[0].best_epoch == rule.best_epoch
    assert other.evaluate(*held) == pytest.approx(model.evaluate(*held), rel=1e-12)
    back = run(make_model, make_rules, resume=path)
    np.testing.assert_array_equal(back[0].predict(X), model.predict(X))


def test_the_best_weights_are_tensors_with_names_and_without_padding(tmp_path: Path) -> None:
    path = tmp_path / "run"
    fit(make(NET, ema=0.9), [mc.ReduceOnPlateau("loss"), mc.EarlyStopping("loss")], epochs=1, checkpoint=path)
    arrays = load_file(path)
    for name in ("params.0.weight", "params.3.0.2.bias", "average.4.weight", "statistics.1.running_var"):
        np.testing.assert_array_equal(arrays[f"callbacks.1.snapshot.{name}"], arrays[name])
    assert not any(name.startswith("callbacks.0.") for name in arrays)


# --- callbacks of the user's


class Fading:
    """Lowers the rate in every epoch and keeps all kinds of values: its beginning is that of the whole fit."""

    def on_fit_begin(self, model: Any, epochs: int) -> None:
        model.rate_scale = 1.0
        self.seen, self.sum, self.last, self.rng = [], np.float32(0), None, np.random.default_rng(1)

    def on_epoch_end(self, report: Any) -> None:
        self.seen.append((report.epoch, report.values["loss"]))
        self.sum = self.sum * np.float32(0.9) + np.float32(report.values["loss"])
        self.last = report.model.params
        report.model.rate_scale = 0.9 ** len(self.seen) * float(self.rng.uniform(0.9, 1)) + 1e-3 * float(self.sum)

    def on_fit_end(self, model: Any) -> None:
        model.params = mc.trees.tree_map(lambda leaf: leaf * 2, self.last)

    def state(self) -> Any:
        return self.seen, self.sum, self.last, self.rng.bit_generator.state

    def restore(self, state: Any) -> None:
        self.seen, self.sum, self.last, self.rng.bit_generator.state = state


def test_callbacks_of_the_users_go_on_too(tmp_path: Path) -> None:
    for epoch in range(1, 5):
        path, models = tmp_path / str(epoch), [make(NET, ema=0.5) for _ in range(3)]
        whole, again = Fading(), Fading()
        histories = [fit(models[0], [whole], epochs=4)]
        with pytest.raises(Killed):
            fit(models[1], [Fading(), At(epoch)], epochs=4, checkpoint=path)
        histories += [fit(models[2], [again], epochs=4, checkpoint=path, resume=path)]
        assert untimed(histories[1]) == untimed(histories[0])
        assert_same(state_of(models[2]), state_of(models[0]))
        assert (again.seen, again.sum, type(again.sum)) == (whole.seen, whole.sum, np.float32)


def test_what_they_have_at_the_beginning_is_the_model_as_it_is_resumed(tmp_path: Path) -> None:
    seen: list = []

    class Look:
        def on_fit_begin(self, model: Any, epochs: int) -> None:
            seen.append((model.predict(X), epochs))

    path, model = tmp_path / "run", make()
    fit(model, [], epochs=3, checkpoint=path)
    fit(make(), [Look()], epochs=5, resume=path)
    assert seen[0][1] == 2
    np.testing.assert_array_equal(seen[0][0], model.predict(X))


class Best:
    """Keeps the best weights and puts them back, without a state; or with half of one, which is none."""

    def on_fit_begin(self, model: Any, epochs: int) -> None:
        self.best: Any = (math.inf, None)

    def on_epoch_end(self, report: Any) -> None:
        if report.values["val_loss"] < self.best[0]:
            self.best = report.values["val_loss"], report.model.snapshot()

    def on_fit_end(self, model: Any) -> None:
        if self.best[1] is not None:
            model.restore(self.best[1])

    def state(self) -> Any:
        raise AssertionError("nobody asks for it")


def test_those_without_a_state_come_and_go_and_their_last_word_is_kept(tmp_path: Path) -> None:
    path, rule = tmp_path / "run", mc.EarlyStopping("loss", restore_best=False)
    model, last, again = (make(PLAIN, optimizer=mc.Adam(0.3)) for _ in range(3))
    with pytest.raises(Killed):
        fit(make(PLAIN, optimizer=mc.Adam(0.3)), [At(2), rule], checkpoint=path)
    fit(model, [Best(), rule, mc.Progress(file=io.StringIO())], checkpoint=path, resume=path)
    fit(last, [])
    assert np.any(model.predict(X) != last.predict(X))
    fit(again, [rule], resume=path)
    np.testing.assert_array_equal(again.predict(X), model.predict(X))


# --- values


ARRAYS = st.tuples(
    st.sampled_from(["float32", "float64", "int8", "int64", "uint16", "bool"]),
    st.sampled_from([(), (0,), (3,), (2, 2)]),
).map(lambda pair: np.arange(math.prod(pair[1])).reshape(pair[1]).astype(pair[0]))
LEAVES = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(),
    st.text(),
    ARRAYS,
    ARRAYS.filter(lambda array: array.ndim == 0).map(lambda array: array[()]),
)
KEYS = st.one_of(
    st.text(), st.integers(), st.booleans(), st.floats(allow_nan=False), st.tuples(st.text(), st.integers())
)
TREES = st.recursive(
    LEAVES,
    lambda inner: st.one_of(
        st.lists(inner, max_size=3), st.lists(inner, max_size=3).map(tuple), st.dictionaries(KEYS, inner, max_size=3)
    ),
    max_leaves=8,
)


class Holds:
    def __init__(self, value: Any) -> None:
        self.value = value

    def on_epoch_end(self, report: Any) -> None:
        pass

    def state(self) -> Any:
        return self.value

    def restore(self, state: Any) -> None:
        self.value = state


def assert_equal(got: Any, expected: Any) -> None:
    """Of the same types too, inside as well."""
    assert type(got) is type(expected)
    if isinstance(expected, (list, tuple)):
        assert len(got) == len(expected)
        for pair in zip(got, expected, strict=True):
            assert_equal(*pair)
    elif isinstance(expected, dict):
        assert_equal([*got.items()], [*expected.items()])
    else:
        if isinstance(expected, (np.ndarray, np.generic)):
            assert (got.dtype, got.shape) == (expected.dtype, expected.shape)
        np.testing.assert_array_equal(got, expected)


@given(trees=st.lists(TREES, max_size=2))
def test_a_state_comes_back_as_it_was(trees: list, tmp_path_factory: Any) -> None:
    path, model = tmp_path_factory.mktemp("run") / "checkpoint", make(PLAIN)
    fit(model, [Holds(tree) for tree in trees], epochs=1, checkpoint=path)
    back = [Holds("other") for _ in trees]
    fit(make(PLAIN), back, epochs=1, resume=path)
    for one, tree in zip(back, trees, strict=True):
        assert_equal(one.value, tree)


def test_names_that_meet_keep_their_arrays(tmp_path: Path) -> None:
    tree = {"a.b": np.zeros(2), "a": {"b": np.ones(2)}, "\ud800": np.full(2, 3.0), "é": np.full(2, 4.0)}
    fit(make(PLAIN), [Holds(tree)], epochs=1, checkpoint=tmp_path / "run")
    back = Holds(None)
    fit(make(PLAIN), [back], epochs=1, resume=tmp_path / "run")
    assert_equal(back.value, tree)


@pytest.mark.parametrize("library", ["torch", "jax"])
def test_arrays_of_other_libraries_come_back_as_numpy_s(library: str, tmp_path: Path) -> None:
    array = optional({"jax": "jax.numpy"}.get(library, library)).asarray([1.5, 2.5])
    fit(make(PLAIN), [Holds([array])], epochs=1, checkpoint=tmp_path / "run")
    back = Holds(None)
    fit(make(PLAIN), [back], epochs=1, resume=tmp_path / "run")
    assert_equal(back.value, [np.asarray(array)])


@pytest.mark.parametrize(
    "value", [deque([1.0]), {1, 2}, 1j, b"x", object(), np.array([1j]), np.array(["a"]), np.float16(1), math, Path("a")]
)
def test_a_state_that_no_file_can_hold_is_refused_by_its_place(value: Any, tmp_path: Path) -> None:
    model = make(PLAIN)
    with pytest.raises(
        mc.ConfigurationError, match=r"^callbacks\.1\.window\.0 is .* which a checkpoint cannot hold; exp"
    ):
        fit(model, [Holds(1), Holds({"window": [value]})], checkpoint=tmp_path / "run")
    assert not os.listdir(tmp_path) and state_of(model)["epoch"] == 1


def test_a_state_that_holds_itself_is_refused(tmp_path: Path) -> None:
    value: list = []
    value.append(value)
    with pytest.raises(mc.ConfigurationError, match=r"callbacks\.0\.0\.0.* is nested more than 32 deep"):
        fit(make(PLAIN), [Holds(value)], checkpoint=tmp_path / "run")


# --- another fit is refused, and nothing changes


def stopping(**words: Any) -> mc.EarlyStopping:
    return mc.EarlyStopping(**{"patience": 5, **words})


def reduce(**words: Any) -> mc.ReduceOnPlateau:
    return mc.ReduceOnPlateau(**{"factor": 0.5, **words})


class Other(mc.EarlyStopping):
    pass


BOTH = [stopping(), reduce()]
CHANGED: dict[str, tuple[list, list, str]] = {  # there, here, what is said
    "none here": ([stopping()], [], r"callbacks is \['EarlyStopping'\] there and \[\] here"),
    "none there": ([], [reduce()], r"callbacks is \[\] there and \['ReduceOnPlateau'\] here"),
    "another kind": ([stopping()], [reduce()], r"callbacks\[0\] is 'EarlyStopping' there and 'ReduceOnPlateau' here"),
    "another order": (BOTH, BOTH[::-1], r"callbacks\[0\] is 'EarlyStopping' there"),
    "one more": (BOTH, [*BOTH, stopping()], r"callbacks is \["),
    "a kind of the user's": ([stopping()], [Other(patience=5)], r"callbacks\[0\] is 'EarlyStopping' there and 'Other'"),
    "another of the user's": ([Holds(1)], [Fading()], r"callbacks\[0\] is 'Holds' there and 'Fading' here"),
    "patience": ([stopping()], [stopping(patience=6)], r"EarlyStopping\.patience is 5 there and 6 here"),
    "of the user's own": ([Other()], [Other(patience=6)], r"Other\.patience is 10 there and 6 here"),
    "monitor": ([stopping()], [stopping(monitor="loss")], r"EarlyStopping\.monitor is 'val_loss' there and 'loss'"),
    "least change": (BOTH, [BOTH[0], reduce(min_delta=1)], r"ReduceOnPlateau\.min_delta is 0\.0 there and 1 here"),
    "direction": ([stopping()], [stopping(mode="max")], r"EarlyStopping\.mode is 'min' there and 'max' here"),
    "best": ([stopping()], [stopping(restore_best=False)], r"EarlyStopping\.restore_best is True there and False"),
    "factor": ([reduce()], [reduce(factor=0.1)], r"ReduceOnPlateau\.factor is 0\.5 there and 0\.1 here"),
    "least rate": ([reduce()], [reduce(min_scale=0.1)], r"ReduceOnPlateau\.min_scale is 1e-06 there and 0\.1 here"),
}


@pytest.mark.parametrize("case", CHANGED)
def test_other_callbacks_are_refused_and_nothing_changes(case: str, tmp_path: Path) -> None:
    there, here, said = CHANGED[case]
    path, model = tmp_path / "run", make(PLAIN)
    with pytest.raises(Killed):
        fit(make(PLAIN), [*there, At(3)], checkpoint=path)
    file, before = path.read_bytes(), state_of(model)
    with pytest.raises(mc.ModelFileError, match=f"written by another fit: {said}"):
        fit(model, here, checkpoint=path, resume=path)
    assert path.read_bytes() == file
    assert_same(state_of(model), before)


def test_the_same_in_other_words_is_the_same(tmp_path: Path) -> None:
    path = tmp_path / "run"
    words: Any = {"patience": np.int64(5), "min_delta": np.float32(0), "mode": "min", "restore_best": 1}
    other: Any = {"factor": np.float64(0.5), "min_scale": np.float64(1e-6)}
    fit(make(PLAIN), [stopping(min_delta=0), reduce(**other)], epochs=1, checkpoint=path)
    fit(make(PLAIN), [stopping(**words), reduce()], epochs=2, checkpoint=path, resume=path)
    assert len(fit(make(PLAIN), [stopping(), reduce(**other)], epochs=3, resume=path)) == 3


WEIGHTS = np.linspace(0.5, 1.5, len(LABELS))
BALANCED = {label: len(LABELS) / (3 * int(np.sum(label == LABELS))) for label in range(3)}
WEIGHED: dict[str, tuple[dict, dict, str | None]] = {  # there, here, what is said, or None where it is the same
    "balanced": ({"class_weight": "balanced"}, {}, "class_weight is 'balanced' there and None here"),
    "now balanced": ({}, {"class_weight": "balanced"}, "class_weight is None there and 'balanced' here"),
    "other numbers": (
        {"class_weight": {0: 1, 2: 3.0}},
        {"class_weight": {0: 1, 2: 4}},
        r"class_weight\.2 is 3\.0 there and 4\.0 here",
    ),
    "of the rows": ({"sample_weight": WEIGHTS}, {}, "sample_weight is 'float64 .* there and None here"),
    "other ones of the rows": (
        {"sample_weight": WEIGHTS, "class_weight": "balanced"},
        {"sample_weight": WEIGHTS[::-1], "class_weight": "balanced"},
        "sample_weight is 'float64 .* there and 'float64",
    ),
    "the same numbers": ({"class_weight": "balanced"}, {"class_weight": BALANCED}, None),
    "ones": ({}, {"class_weight": {0: 1.0, 1: 1}, "sample_weight": np.ones(len(LABELS))}, None),
    "a list": ({"sample_weight": WEIGHTS}, {"sample_weight": WEIGHTS.tolist()}, None),
    "all": (
        {"sample_weight": WEIGHTS, "class_weight": {1: 2}},
        {"sample_weight": WEIGHTS, "class_weight": {1: 2.0}},
        None,
    ),
}


@pytest.mark.parametrize("case", WEIGHED)
def test_other_weights_are_refused_and_the_same_numbers_are_not(case: str, tmp_path: Path) -> None:
    there, here, said = WEIGHED[case]
    path, model, whole = tmp_path / "run", classifier(), classifier()
    classifier().fit(X, LABELS, epochs=2, batch_size=5, checkpoint=path, **there)
    if said is None:
        whole.fit(X, LABELS, epochs=4, batch_size=5, **there)
        model.fit(X, LABELS, epochs=4, batch_size=5, resume=path, **here)
        assert_same(state_of(model), state_of(whole))
        return
    before = state_of(model)
    with pytest.raises(mc.ModelFileError, match=f"written by another fit: {said}"):
        model.fit(X, LABELS, epochs=4, batch_size=5, resume=path, **here)
    assert_same(state_of(model), before)


@dataclass(frozen=True, eq=False)
class Weighed(mc.HalfSquaredError):
    """A loss of the user's, whose columns have weights; how often it was asked is no part of what it is."""

    columns: Any = (1.0, 1.0)
    asked: list = field(default_factory=list, compare=False)

    def pointwise(self, z: Any, t: Any) -> tuple[Any, Any]:
        self.asked.append(1)
        value, slope = super().pointwise(z, t)
        return value * np.asarray(self.columns), slope * np.asarray(self.columns)


@pytest.mark.parametrize("kind", [tuple, list, np.asarray, lambda values: {"values": list(values)}])
def test_a_loss_of_the_user_s_with_other_weights_is_refused(kind: Any, tmp_path: Path) -> None:
    path, columns = tmp_path / "run", [(1.0, 2.0), (1.0, 2.0), (1.0, 3.0)]
    losses = [Weighed(columns=kind(pair)) for pair in columns]
    if isinstance(losses[0].columns, dict):
        losses = [
            type("Weighed", (Weighed,), {"pointwise": mc.HalfSquaredError.pointwise})(columns=one.columns)
            for one in losses
        ]
    fit(make(PLAIN, losses[0]), [], epochs=1, checkpoint=path)
    assert len(fit(make(PLAIN, losses[1]), [], epochs=2, resume=path)) == 2
    with pytest.raises(mc.ModelFileError, match=r"written by another fit: loss\.columns"):
        fit(make(PLAIN, losses[2]), [], epochs=2, resume=path)


# --- files of other releases, and damaged ones


def rewritten(path: Path, change: Any) -> None:
    about, arrays = tensors.read(path, "checkpoint")
    change(about, arrays)
    about = {name: about[name] for name in about if name not in ("sha256", "version", "kind")}
    tensors.write(path, "checkpoint", about, arrays)


def of_an_older_release(about: dict, arrays: dict) -> None:
    for name in ("callbacks", "states", "weights"):
        del about[name]
    for name in [name for name in arrays if name.startswith("callbacks.")]:
        del arrays[name]


def test_a_checkpoint_without_callbacks_is_resumed_with_a_warning(tmp_path: Path) -> None:
    path, rule = tmp_path / "run", mc.EarlyStopping("loss", patience=50)
    fit(make(PLAIN), [rule], epochs=4, checkpoint=path, sample_weight=WEIGHTS)
    rewritten(path, of_an_older_release)
    model, whole = make(PLAIN), make(PLAIN)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert len(fit(make(PLAIN), [], epochs=5, sample_weight=WEIGHTS, resume=path)) == 5
    with pytest.warns(mc.MlpcoreWarning, match="holds no state of callbacks: EarlyStopping begins anew") as caught:
        fit(model, [rule], epochs=6, sample_weight=WEIGHTS, resume=path)
    assert caught[0].filename == __file__
    fit(whole, [mc.EarlyStopping("loss")], epochs=6, sample_weight=WEIGHTS)
    assert_same(state_of(model), state_of(whole))


def put(*places: Any) -> Any:
    """A change that puts the last argument at the place named by the others, in the entries of a state as a dict."""
    *inner, last, value = places

    def change(about: dict, arrays: dict) -> None:
        entries = about["states"][0]["dict"]
        for name in inner:
            entries = dict(entries)[name]["dict"]
        next(pair for pair in entries if pair[0] == last)[1] = value

    return change


def drop(*names: str) -> Any:
    def change(about: dict, arrays: dict) -> None:
        about["states"][0]["dict"] = [pair for pair in about["states"][0]["dict"] if pair[0] not in names]

    return change


WEIGHT = "callbacks.0.snapshot.params.0.weight"
DAMAGES: dict[str, Any] = {
    "a state is missing": lambda about, arrays: about["states"].clear(),
    "states are missing": lambda about, arrays: about.pop("states"),
    "a state is a number": lambda about, arrays: about.update(states=[3]),
    "a state is of no kind": lambda about, arrays: about.update(states=[{"set": []}]),
    "a state of two kinds": lambda about, arrays: about.update(states=[{"dict": [], "list": []}]),
    "a state without end": lambda about, arrays: about.update(states=[nested(400)]),
    "callbacks are a number": lambda about, arrays: about.update(callbacks=3),
    "callbacks are numbers": lambda about, arrays: about.update(callbacks=[3]),
    "weights are a text": lambda about, arrays: about.update(weights="a"),
    "no best": drop("best"),
    "no snapshot": drop("snapshot"),
    "best is a text": put("best", "a"),
    "best is no number": put("best", {"float": "nan"}),
    "best is an array": put("best", {"array": WEIGHT}),
    "waited before": put("waited", -1),
    "waited in part": put("waited", 1.5),
    "epoch": put("best_epoch", "3"),
    "snapshot is a number": put("snapshot", 3),
    "snapshot of nothing": put("snapshot", {"dict": []}),
    "a tensor that is not there": put("snapshot", "params.0.weight", {"array": "nothing"}),
    "a tensor twice": put("snapshot", "params.0.bias", {"array": WEIGHT}),
    "a text for a tensor": put("snapshot", "params.0.weight", "a"),
    "a tensor of another shape": lambda about, arrays: arrays.update({WEIGHT: arrays[WEIGHT].T}),
    "a tensor is missing": lambda about, arrays: arrays.pop(WEIGHT),
    "a tensor too many": lambda about, arrays: arrays.update({"callbacks.0.more": np.ones(3)}),
}


def nested(depth: int) -> Any:
    value: Any = 3
    for _ in range(depth):
        value = {"tuple": [value]}
    return value


@pytest.mark.parametrize("case", DAMAGES)
def test_a_damaged_state_is_refused_and_nothing_changes(case: str, tmp_path: Path) -> None:
    """Not even where another callback has taken its own state already, and puts its best weights back at the end."""
    path, model = tmp_path / "run", make(PLAIN)
    fit(make(PLAIN), [mc.EarlyStopping("loss"), mc.EarlyStopping("loss")], epochs=3, checkpoint=path)
    rewritten(path, lambda about, arrays: about.update(states=about["states"][::-1]))
    rewritten(path, DAMAGES[case])
    rewritten(path, lambda about, arrays: isinstance(about.get("states"), list) and about["states"].reverse())
    file, before = path.read_bytes(), state_of(model)
    with pytest.raises(mc.ModelFileError, match=str(path)):
        fit(model, [mc.EarlyStopping("loss"), mc.EarlyStopping("loss")], checkpoint=path, resume=path)
    assert path.read_bytes() == file
    assert_same(state_of(model), before)


def test_a_state_that_a_callback_of_the_user_s_cannot_take_changes_nothing(tmp_path: Path) -> None:
    class Holds(mc.EarlyStopping):  # the name of another class
        def restore(self, state: Any) -> None:
            self.value = state["value"]

    path, model, ended = tmp_path / "run", make(PLAIN), []

    class End:
        def on_fit_end(self, model: Any) -> None:
            ended.append(1)

    fit(make(PLAIN), [mc.EarlyStopping("loss"), globals()["Holds"]({"other": 3})], epochs=3, checkpoint=path)
    before = state_of(model)
    with pytest.raises(mc.ModelFileError, match="Holds"):
        fit(model, [mc.EarlyStopping("loss"), Holds("loss"), End()], resume=path)
    rewritten(path, lambda about, arrays: about["callbacks"][1].update(Holds("loss").arguments()))
    with pytest.raises(mc.ModelFileError, match=r"Holds cannot take its state from this file: KeyError\('value'\)"):
        fit(model, [mc.EarlyStopping("loss"), Holds("loss"), End()], resume=path)
    assert ended == [1]
    assert_same(state_of(model), before)
