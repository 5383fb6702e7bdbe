"""Model files: what is saved comes back bit by bit, and what cannot be saved leaves the old file."""

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import members
import numpy as np
import pytest
from safetensors.numpy import load_file
from saving import BACKENDS, NET, ROWS, available, table, trained

from mlpcore import layers as nn
from mlpcore.errors import ConfigurationError, MlpcoreWarning, ModelFileError
from mlpcore.files import read_extra, save_model, tensors
from mlpcore.layers.activation import Activation
from mlpcore.loading import load
from mlpcore.losses import HalfSquaredError
from mlpcore.model import Model
from mlpcore.optimizers import SGD, Adam
from mlpcore.random import Stream


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("saved") / "model.safetensors"
    trained(metrics=["r2"]).save(path)
    return path


@pytest.mark.parametrize("ema", [None, 0.9])
@pytest.mark.parametrize("case", members.LAYERS)
def test_a_loaded_model_predicts_the_same_bits(case: str, ema: float | None, tmp_path: Path) -> None:
    inner = members.LAYERS[case](4)
    net = nn.Sequential(nn.Linear(3, 4), inner, nn.Linear(inner.output_width(4), 2))
    model = trained(net, ema=ema, l2=0.01, clip_norm=2.0, seed=2**64 - 1, dtype="float64", metrics=["r2"])
    model.save(tmp_path / "model")
    back = load(tmp_path / "model")
    np.testing.assert_array_equal(back.predict(table()), model.predict(table()))
    assert back.specification == model.specification and list(back.metrics) == ["r2"]
    assert back.predict(table()).dtype == np.float64
    back.fit(table(), np.zeros((ROWS, 2)), epochs=1)


@pytest.mark.parametrize("case", members.LOSSES)
def test_losses_come_back(case: str, tmp_path: Path) -> None:
    loss, _ = members.LOSSES[case]
    model = Model(nn.Linear(3, loss.outputs(2)), loss)
    model.save(tmp_path / "model")
    assert load(tmp_path / "model").loss == loss


def test_tensors_have_names_and_the_dtype_of_the_model(saved: Path) -> None:
    found = {name: (tensor.shape, tensor.dtype.name) for name, tensor in load_file(saved).items()}
    rest = {f"1.{name}": ((4,), "float32") for name in ("gain", "bias", "running_mean", "running_var")}
    ends = {"0.weight": (3, 4), "0.bias": (4,), "3.weight": (4, 2), "3.bias": (2,)}
    assert found == rest | {name: (shape, "float32") for name, shape in ends.items()}


def test_the_same_model_gives_the_same_bytes(saved: Path, tmp_path: Path) -> None:
    trained(metrics=["r2"]).save(tmp_path / "again")
    assert (tmp_path / "again").read_bytes() == saved.read_bytes()


def test_loading_draws_nothing(saved: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def bits(self: Stream, n: int) -> np.ndarray:
        raise AssertionError("drawn")

    monkeypatch.setattr(Stream, "bits", bits)
    load(saved)


def test_an_average_is_what_is_saved(tmp_path: Path) -> None:
    model = trained(ema=0.99)
    model.save(tmp_path / "model")
    names = dict(members.named_leaves(model.params))
    np.testing.assert_array_equal(load_file(tmp_path / "model")["0.weight"], names["0.weight"])
    assert not np.array_equal(names["0.weight"], model.layout.view(model.trainer.state.params, (0, 0))[0]["weight"])


@pytest.mark.parametrize("backend", BACKENDS)
def test_files_move_between_backends(backend: str, saved: Path, tmp_path: Path) -> None:
    there = load(saved, available(backend))
    there.save(tmp_path / "there")
    assert (tmp_path / "there").read_bytes() == saved.read_bytes()
    members.assert_close(there.predict(table()), load(saved).predict(table()))


@pytest.mark.parametrize("backend", ["numpy", *BACKENDS])
def test_a_moved_model_goes_on_where_it_was(backend: str) -> None:
    x, y = table(), np.zeros((ROWS, 2))
    # No bias before BatchNorm: its gradient is nothing but rounding, of which Adam makes whole steps.
    net = nn.Sequential(nn.Linear(3, 4, bias=False), nn.BatchNorm(4), nn.Tanh(), nn.Linear(4, 2))
    model = trained(net, optimizer=Adam(0.01), ema=0.9, metrics=[lambda target, prediction: 0.5])
    model.rate_scale = 0.5
    other = model.to(available(backend))
    before = model.predict(x)
    assert list(other.metrics) == list(model.metrics) and other.rate_scale == 0.5
    other.fit(x, y, epochs=2, batch_size=5)
    np.testing.assert_array_equal(model.predict(x), before)
    model.fit(x, y, epochs=2, batch_size=5)
    members.assert_close(other.predict(x), model.predict(x))
    back = other.to("numpy")
    for (name, a), (_, b) in zip(
        members.named_leaves(back.trainer.state), members.named_leaves(other.trainer.state), strict=True
    ):
        np.testing.assert_array_equal(a, other.backend.to_numpy(b), err_msg=name)
    assert back.trainer.progress == model.trainer.progress


def test_what_is_attached_comes_back(tmp_path: Path) -> None:
    values = {"labels": ["ja", "nein", '\u00e9\n\x00"'], "columns": {"a": 1, "b": None, "c": 0.1}, "k": [True, 2**70]}
    square = np.arange(24.0).reshape(4, 6)
    arrays = {
        **{"mean": square, "transposed": square.T, "strided": square[::2, ::3], "reversed": square[::-1]},
        **{"fortran": np.asfortranarray(square), "scalar": np.float32(3), "none": np.zeros((0, 3)), "2.weight": square},
        **{"flags": square[0] > 2, "whole": np.arange(3), "words": np.arange(3, dtype="uint16")},
    }
    model = trained()
    model.save(tmp_path / "model", extra=values, extra_tensors=arrays)
    back = read_extra(tmp_path / "model")
    assert back.values == values and set(back.tensors) == set(arrays)
    for name, array in arrays.items():
        assert back.tensors[name].dtype == array.dtype
        np.testing.assert_array_equal(back.tensors[name], array, err_msg=name, strict=True)
    np.testing.assert_array_equal(load(tmp_path / "model").predict(table()), model.predict(table()))
    assert read_extra_of(model, tmp_path) == ({}, {})


def read_extra_of(model: Model, folder: Path) -> tuple:
    model.save(folder / "plain")
    return tuple(read_extra(folder / "plain"))


def test_parameters_in_any_order_in_memory_are_saved_right(tmp_path: Path) -> None:
    weight = np.arange(6.0).reshape(2, 3).T
    Model(nn.Linear(3, 2, bias=False), HalfSquaredError(), params={"weight": weight}).save(tmp_path / "model")
    tensors.write(tmp_path / "raw", "model", {}, {"weight": weight})
    for name in ("model", "raw"):
        np.testing.assert_array_equal(load_file(tmp_path / name)["weight"], weight)


@dataclass(frozen=True)
class Own(Activation):
    def activate(self, x: Any) -> tuple[Any, Any]:
        return x, ()

    def gradient(self, cache: Any, dy: Any) -> Any:
        return dy


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ({"net": nn.Sequential(nn.Linear(3, 2), nn.Residual(Own()))}, r"model\.net\.layers\[1\]\.layer is Own"),
        ({"optimizer": SGD(lambda count: count * 0 + 0.1)}, r"model\.optimizer\.learning_rate is <function"),
        ({"net": nn.Linear(3, 2, weight_init=lambda r, s, f: np.ones(s))}, r"model\.net\.weight_init is <function"),
    ],
)
def test_own_code_is_refused_by_name_and_the_old_file_stays(words: dict, said: str, tmp_path: Path) -> None:
    path = tmp_path / "model"
    path.write_text("old")
    with pytest.raises(ConfigurationError, match=said):
        Model(**{"net": NET, "loss": HalfSquaredError(), **words}).save(path)
    assert path.read_text() == "old" and os.listdir(tmp_path) == ["model"]


def test_a_metric_that_is_a_function_is_left_out_with_a_warning(tmp_path: Path) -> None:
    def mine(target: Any, prediction: Any) -> Any:
        return target[0, 0]

    model = trained(metrics=["r2", mine])
    with pytest.warns(MlpcoreWarning, match="without mine"):
        model.save(tmp_path / "model")
    assert list(load(tmp_path / "model").metrics) == ["r2"]


@pytest.mark.parametrize("extra", [{"a": float("nan")}, {"a": object()}, {"a": (1, 2)}, {1: "a"}])
def test_attached_values_that_json_changes_are_refused(extra: dict, tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="extra"):
        trained().save(tmp_path / "model", extra=extra)
    assert not os.listdir(tmp_path)


@pytest.mark.parametrize("array", [np.array(["a"]), np.array([1j]), np.array([object()]), np.array([1.0], "float16")])
def test_tensors_of_other_dtypes_are_refused(array: np.ndarray, tmp_path: Path) -> None:
    with pytest.raises(ModelFileError, match=r"extra\.a has dtype"):
        trained().save(tmp_path / "model", extra_tensors={"a": array})
    assert not os.listdir(tmp_path)


@pytest.mark.parametrize("call", ["fsync", "replace"])
def test_a_failed_write_leaves_the_old_file(call: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "model"
    trained().save(path)
    before = path.read_bytes()

    def fails(*_: Any) -> None:
        raise OSError("disk full")

    monkeypatch.setattr(tensors.os, call, fails)
    with pytest.raises(OSError, match="disk full"):
        trained(seed=1).save(path)
    assert path.read_bytes() == before and os.listdir(tmp_path) == ["model"]


def test_places_that_cannot_be_written_to(tmp_path: Path) -> None:
    with pytest.raises(ModelFileError, match="is a directory"):
        trained().save(tmp_path)
    with pytest.raises(FileNotFoundError, match="no directory"):
        trained().save(tmp_path / "missing" / "model")


def test_weights_that_are_not_numbers_are_refused(tmp_path: Path) -> None:
    model = Model(nn.Sequential(nn.Linear(2, 1)), HalfSquaredError())
    params = ({"weight": np.full((2, 1), np.nan, "float32"), "bias": np.zeros(1, "float32")},)
    save_model(tmp_path / "nan.safetensors", model.specification, params)
    with pytest.raises(ModelFileError, match=r"nan\.safetensors.*0\.weight"):
        load(tmp_path / "nan.safetensors")
