"""``backend="auto"``: what is chosen and said with and without a GPU and a measurement, and what models make of it."""

import copy
import pickle
import warnings
from pathlib import Path
from typing import Any

import crossover
import numpy as np
import pytest
from crossover import HERE, choosing, document, write
from devices import gpu, open_place

import mlpcore as mc
from mlpcore.backends.choice import Choice, Work, choose, may_leave_host
from mlpcore.backends.choice.measurement import DTYPES, WHATS
from mlpcore.backends.choice.rule import estimated
from mlpcore.errors import BackendUnavailable, ConfigurationError, MlpcoreWarning
from mlpcore.training.placement import placed

folder, card, no_card = crossover.folder, crossover.card, crossover.no_card  # fixtures
NET = mc.Sequential(mc.Linear(4, 8), mc.ReLU(), mc.Linear(8, 3))  # 112 FLOPs forward
STEP = 3 * 112 * 128


def work(flops: float, dtype: str = "float32", what: str = "step") -> Work:
    return Work(what, flops, dtype)


def test_a_machine_without_a_gpu_takes_numpy_in_silence(folder: Path, no_card: None) -> None:
    for content in (None, document()):
        if content:
            write(folder, content)
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            choice = choose(work(1e12))
        assert choice == Choice("numpy", "no GPU can be used (there is none; buy one)")
        assert not may_leave_host()


def test_a_measurement_decides_and_is_named(folder: Path, card: dict[str, str]) -> None:
    write(folder, document(1e6))
    small, large = choose(work(0.9e6)), choose(work(1.1e6), "cuda:1")
    assert small == Choice(
        "numpy",
        "a step has 9e+05 FLOPs in float32, but the GPU pays from 1e+06 on (measured on 2026-11-28 on this Card)",
    )
    assert (large.backend, large.device) == ("cupy", "cuda:1") and "and the GPU pays from 1e+06 on" in large.why
    assert choose(work(1e12), "cpu").backend == "numpy"
    assert may_leave_host()


def test_a_device_that_is_not_there_is_an_error_if_there_is_another(
    folder: Path, no_card: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert choose(work(1e12), "cuda:7").backend == "numpy"
    missing = choosing["setup"]
    monkeypatch.setitem(choosing, "setup", lambda device=None: missing(device) if device else HERE)
    with pytest.raises(BackendUnavailable):
        choose(work(1e12), "cuda:7")


def test_steps_and_predictions_and_dtypes_have_rules_of_their_own(folder: Path, card: dict[str, str]) -> None:
    content = document(1e6)
    for one in content["measurements"]:
        if (one["dtype"], one["what"]) != ("float32", "prediction"):
            one["numpy"] = 1e-9
    write(folder, content)
    taken = {(d, w) for d in DTYPES for w in WHATS if choose(work(1e9, d, w)).backend == "cupy"}
    assert taken == {("float32", "prediction")} and may_leave_host()
    for one in content["measurements"]:
        one["numpy"] = 1e-9
    write(folder, content)
    assert not may_leave_host() and "for no size" in choose(work(1e9)).why


def test_a_damaged_file_is_named_and_the_estimate_decides(folder: Path, card: dict[str, str]) -> None:
    path = write(folder, "[")
    why = f"the measurement {path} is ignored: it is no JSON text"
    assert choose(work(1e9), measured_only=True) == Choice("numpy", why)
    with pytest.warns(MlpcoreWarning, match="is ignored: it is no JSON text"):
        assert choose(work(1e9)).backend == "cupy"


@pytest.mark.parametrize("name", HERE)
def test_a_measurement_of_another_machine_is_ignored(name: str, folder: Path, card: dict[str, str]) -> None:
    write(folder, document(1.0))
    card[name] = "4"
    why = f"the measurement of 2026-11-28 is ignored, as {name} changed"
    choice = choose(work(1e3), measured_only=True)
    assert choice.backend == "numpy" and choice.why.startswith(why) and not may_leave_host()
    with pytest.warns(MlpcoreWarning, match=why):
        assert choose(work(1e3)).backend == "numpy"


def test_without_a_measurement_the_estimate_decides_and_warns_once(folder: Path, card: dict[str, str]) -> None:
    limit = estimated("float32", 2)
    with pytest.warns(MlpcoreWarning, match="estimate.*mlpcore crossover") as said:
        chosen = [choose(work(flops)).backend for flops in (limit / 2, limit, limit * 2)]
    assert chosen == ["numpy", "cupy", "cupy"] and len(said) == 1
    assert "an estimate; `mlpcore crossover` measures" in choose(work(limit)).why
    assert choose(work(1e15), measured_only=True).backend == "numpy"


def test_what_was_not_measured_is_estimated(folder: Path, card: dict[str, str]) -> None:
    content = document(1e6)
    content["measurements"] = [one for one in content["measurements"] if one["dtype"] == "float64"]
    write(folder, content)
    with pytest.warns(MlpcoreWarning, match="steps in float32 were not measured"):
        assert choose(work(1e7)).backend == "numpy"
    assert choose(work(1e7, "float64")).backend == "cupy"


def model(**words: Any) -> mc.Model:
    return mc.Model(NET, mc.SoftmaxCrossEntropy(), **{"backend": "auto"} | words)


def test_a_model_counts_the_work_of_its_network(folder: Path, card: dict[str, str]) -> None:
    write(folder, document(STEP + 1))
    chosen = model()
    assert chosen.backend.name == "numpy" == chosen.backend_choice.backend
    assert f"a step has {STEP:.2g} FLOPs" in chosen.backend_choice.why
    assert f"backend='auto' chose {chosen.backend_choice}." in chosen.summary()
    write(folder, document(STEP - 1))
    backend, device, choice = placed("auto", "cuda:1", NET, "float32")
    assert (backend, device) == ("cupy", "cuda:1") == (choice.backend, choice.device)


def test_a_named_backend_and_what_is_stored_have_no_choice(folder: Path, no_card: None, tmp_path: Path) -> None:
    named, chosen = model(backend="numpy"), model()
    assert named.backend_choice is None and "auto" not in named.summary()
    assert chosen.backend_choice is not None
    for other in (pickle.loads(pickle.dumps(chosen)), copy.copy(chosen), chosen.to("numpy")):
        assert other.backend.name == "numpy" and other.backend_choice is None
    assert chosen.to("auto").backend_choice is not None
    chosen.save(tmp_path / "model")
    assert b"auto" not in (tmp_path / "model").read_bytes()
    assert mc.load(tmp_path / "model").backend_choice is None
    loaded = mc.load(tmp_path / "model", backend="auto")
    assert loaded.backend.name == "numpy" and "no GPU" in loaded.backend_choice.why
    x = np.ones((2, 4), "float32")
    np.testing.assert_array_equal(loaded.predict(x), named.predict(x))


def test_a_file_is_loaded_for_predictions(folder: Path, card: dict[str, str], tmp_path: Path) -> None:
    model(backend="numpy").save(tmp_path / "model")
    mc.Stack([model(backend="numpy"), model(backend="numpy", seed=1)]).save(tmp_path / "stack")
    write(folder, document(STEP))  # a prediction has a third of a step
    for loaded in (mc.load(tmp_path / "model", "auto"), *mc.Stack.load(tmp_path / "stack", "auto")):
        assert loaded.backend.name == "numpy" and "a prediction has" in loaded.backend_choice.why


def test_auto_is_for_models_only() -> None:
    with pytest.raises(ConfigurationError, match="chosen for a network"):
        mc.get_backend("auto")
    with pytest.raises(ConfigurationError, match="float16"):
        model(dtype="float16")


def test_given_parameters_on_another_library_decide() -> None:
    backend = mc.get_backend("array_api_strict")
    params = mc.Model(NET, mc.SoftmaxCrossEntropy(), backend=backend).params
    chosen = model(params=params)
    assert chosen.backend.name == "array_api_strict" and "parameters" in chosen.backend_choice.why


@pytest.mark.parametrize("place", [gpu("cupy")])
def test_on_a_device_the_choice_is_opened(place: str, folder: Path, tmp_path: Path) -> None:
    open_place(place)
    here = dict(choosing["setup"]())
    write(folder, document(STEP - 1, setup=here))
    first, second = model(), model(backend="cupy")
    assert first.backend.name == "cupy" and here["card"] in first.backend_choice.why
    x, y = np.random.default_rng(0).normal(size=(20, 4)), np.arange(20) % 3
    histories = [one.fit(x, y, epochs=2).rows[-1]["loss"] for one in (first, second)]
    assert histories[0] == histories[1]
    assert model(params=second.params).backend.name == "cupy"
    write(folder, document(STEP + 1, setup=here))
    assert model().backend.name == "numpy" and model(params=second.params).backend.name == "cupy"
    second.save(tmp_path / "model")
    assert mc.load(tmp_path / "model", "auto").backend.name == "numpy"
