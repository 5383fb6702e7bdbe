"""Damaged, foreign and forged model files: refused with a ModelFileError, before anything large is allocated."""

import os
import tracemalloc
from pathlib import Path
from typing import Any

import members
import numpy as np
import pytest
from safetensors.numpy import save
from saving import NET, trained

from mlpcore import layers as nn
from mlpcore.errors import ModelFileError
from mlpcore.files import read_extra, read_model, tensors
from mlpcore.files.specification import Specification, encode
from mlpcore.loading import load
from mlpcore.losses import HalfSquaredError, SoftmaxCrossEntropy
from mlpcore.model import Model
from mlpcore.optimizers import SGD
from mlpcore.random import Stream


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("saved") / "model.safetensors"
    trained(metrics=["r2"]).save(path)
    return path


def refused(path: Path, match: str = "mlpcore|JSON|changed") -> None:
    for reader in (load, read_extra):
        with pytest.raises(ModelFileError, match=match) as caught:
            reader(path)
        assert str(path) in str(caught.value)


def test_every_changed_byte_is_found(tmp_path: Path) -> None:
    path = tmp_path / "model"
    Model(nn.Linear(1, 2, bias=False), HalfSquaredError(), SGD(0.1)).save(path)
    data = path.read_bytes()
    for place in range(len(data)):
        changed = bytearray(data)
        # 0x20 changes the case of a letter, which a reader of hexadecimals may overlook.
        changed[place] ^= 0x20 if data[place : place + 1].isalpha() and place % 2 else 1 << place % 8
        path.write_bytes(changed)
        with pytest.raises(ModelFileError):
            read_model(path)


def test_every_blank_of_the_header_counts(saved: Path, tmp_path: Path) -> None:
    data = saved.read_bytes()
    length = int.from_bytes(data[:8], "little")
    padded = data[: 8 + length] + b" " * 8 + data[8 + length :]
    (tmp_path / "padded").write_bytes((length + 8).to_bytes(8, "little") + padded[8:])
    refused(tmp_path / "padded", "digest")
    (tmp_path / "tab").write_bytes(
        (length + 8).to_bytes(8, "little") + padded[8:].replace(b"        ", b"\t       ", 1)
    )
    refused(tmp_path / "tab", "digest")


def test_every_truncation_is_found(saved: Path, tmp_path: Path) -> None:
    data, path = saved.read_bytes(), tmp_path / "short"
    for length in range(0, len(data), 3):
        path.write_bytes(data[:length])
        with pytest.raises(ModelFileError):
            read_model(path)
    refused(path, "truncated")
    path.write_bytes(data[:1000])
    refused(path, "truncated")
    path.write_bytes(data + b"\0")
    refused(path, "1 bytes follow")


def huge_header() -> bytes:
    return (1 << 40).to_bytes(8, "little") + b"{" * 100


def deep_header() -> bytes:
    return (200_000).to_bytes(8, "little") + b"[" * 200_000


STRANGERS = {
    "empty": b"",
    "text": b"weights: 1 2 3\n" * 20,
    "random": Stream(1).bits(200).tobytes(),
    "zeros": bytes(1000),
    "picture": b"\x89PNG\r\n\x1a\n\x00\x00\x00\rIHDR" + bytes(500),
    "pickle": b"\x80\x04\x95\x1a\x00\x00\x00\x00\x00\x00\x00\x8c\x05posix\x94\x8c\x06system\x94\x93\x94." * 5,
    "huge header": huge_header(),
    "deep header": deep_header(),
    "header is a list": (8).to_bytes(8, "little") + b"[1, 2]  ",
    "header is no text": (8).to_bytes(8, "little") + b"\xff" * 8,
    "other safetensors": save({"0.weight": np.zeros((2, 2))}),
    "other metadata": save({"0.weight": np.zeros((2, 2))}, {"format": "pt"}),
    "half of our metadata": save({"0.weight": np.zeros((2, 2))}, {"mlpcore": "{}"}),
    "no JSON in our metadata": save({}, {"mlpcore": '{"sha256":"'}),
}


@pytest.mark.parametrize("content", STRANGERS.values(), ids=STRANGERS.keys())
def test_other_files_are_refused(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(content)
    tracemalloc.start()
    refused(tmp_path / "file")
    assert tracemalloc.get_traced_memory()[1] < 64 << 20
    tracemalloc.stop()


def test_places_that_hold_no_file(tmp_path: Path) -> None:
    refused(tmp_path, "is a directory")
    with pytest.raises(FileNotFoundError):
        load(tmp_path / "missing")
    if os.path.exists("/dev/zero"):
        refused(Path("/dev/zero"), "no regular file")


def test_files_of_a_newer_release_say_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tensors, "VERSION", 2)
    trained().save(tmp_path / "model")
    monkeypatch.undo()
    refused(tmp_path / "model", "written by a newer mlpcore, format 2; this one reads 1; upgrade")


def forged(path: Path, change: Any, arrays: dict | None = None) -> Path:
    """A file with a right digest, and a specification that ``change`` has been at."""
    model = trained()
    data = encode(model.specification, "model")
    about = {"specification": change(data) or data, "extra": {}}
    tensors.write(path, "model", about, dict(members.named_leaves(model.params)) if arrays is None else arrays)
    return path


def put(*places: Any) -> Any:
    """A change that puts the last argument at the place named by the others."""
    *inner, last, value = places

    def change(data: Any) -> None:
        for place in inner:
            data = data[place]
        data[last] = value

    return change


def nested(kind: str, field: str, depth: int) -> dict:
    layer: Any = {"type": "LayerNorm", "features": 4, "eps": 1e-5}
    for _ in range(depth):
        layer = {"type": kind, field: [layer] if field == "layers" else layer}
    return layer


RELU = {"type": "ReLU"}
FORGERIES = {
    "unknown layer": (put("net", "layers", 2, "type", "os.system"), r"layers\[2\]: 'os.system' is not known"),
    "import path": (put("net", "layers", 2, "type", "mlpcore.layers.ReLU"), "is not known, expected one of Linear"),
    "type is no text": (put("net", "layers", 2, "type", ["ReLU"]), r"\['ReLU'\] is not known"),
    "a loss for a layer": (put("net", "layers", 2, "type", "HalfSquaredError"), "'HalfSquaredError' is not known"),
    "no layer at all": (put("net", "layers", 2, 7), r"layers\[2\] is 7, expected Layer"),
    "no specification": (lambda data: [1], r"is \[1\], expected Specification"),
    "another specification": (lambda data: {"type": "Own"}, "'Own' is not known, expected one of Specification"),
    "missing field": (lambda data: data["optimizer"].pop("momentum") and None, "optimizer: SGD lacks momentum"),
    "unknown field": (put("optimizer", "run", "rm"), "optimizer: SGD has the unknown run"),
    "wrong field": (put("net", "layers", 0, "bias", 1), r"layers\[0\]\.bias is 1, expected bool"),
    "text for a number": (put("net", "layers", 0, "in_features", "3"), "in_features is '3', expected int"),
    "truth for a number": (put("net", "layers", 0, "in_features", True), "in_features is True, expected int"),
    "infinite number": (put("optimizer", "learning_rate", 1e999), "number Infinity"),
    "not a number": (put("optimizer", "learning_rate", float("nan")), "number NaN"),
    "negative rate": (put("optimizer", "learning_rate", -1.0), "SGD: learning_rate is -1.0"),
    "widths that do not chain": (put("net", "layers", 3, "in_features", 5), "does not take"),
    "another width": (
        put("net", "layers", 3, "out_features", 3),
        r"tensor 3\.bias has shape \(2,\), expected the network's, \(3,\)",
    ),
    "another number of layers": (
        lambda data: data["net"]["layers"].pop() and None,
        r"tensor 3\.\w+ .* network's, None",
    ),
    "one layer more": (
        lambda data: data["net"]["layers"].append({"type": "LayerNorm", "features": 2, "eps": 1e-5}),
        r"tensor 4\.bias has shape None",
    ),
    "huge width": (put("net", "layers", 0, "in_features", 1 << 40), "a width that its tensors do not have"),
    "huge normalisation": (put("net", {"type": "LayerNorm", "features": 1 << 40, "eps": 1e-5}), "a width that"),
    "nothing but activations": (put("net", "layers", [RELU] * 3), "expected the network's, None"),
    "many layers": (put("net", "layers", [RELU] * 100_001), "more than 100000 values"),
    "deep layers": (put("net", nested("Sequential", "layers", 200)), "nested deeper than"),
    "deep residuals": (put("net", nested("Residual", "layer", 12)), "has shape None"),
    "dtype": (put("dtype", "float16"), "dtype is 'float16'"),
    "other dtype": (put("dtype", "float64"), "is float32, expected float64 as specified"),
    "seed": (put("seed", -1), "seed is -1"),
    "metric": (put("metrics", ["__import__"]), "'__import__' is not known"),
    "clip": (put("clip_norm", -1.0), "clip_norm is -1.0"),
    "loss": (put("loss", {"type": "SoftmaxCrossEntropy", "label_smoothing": 2.0}), "label_smoothing is 2.0"),
}


@pytest.mark.parametrize(("change", "said"), FORGERIES.values(), ids=FORGERIES.keys())
def test_forged_specifications_are_refused_before_anything_is_built(change: Any, said: str, tmp_path: Path) -> None:
    forged(tmp_path / "model", change)
    tracemalloc.start()
    with pytest.raises(ModelFileError, match=said):
        load(tmp_path / "model")
    assert tracemalloc.get_traced_memory()[1] < 64 << 20
    tracemalloc.stop()


def test_a_product_of_small_widths_is_not_allocated(tmp_path: Path) -> None:
    """Every width stands in the file, the product of two does not."""
    wide = 100_000
    linear = encode(nn.Linear(wide, wide), "net")
    forged(
        tmp_path / "model", put("net", linear), {"weight": np.zeros(wide, "float32"), "bias": np.zeros(1, "float32")}
    )
    tracemalloc.start()
    with pytest.raises(ModelFileError, match="more parameters than"):
        load(tmp_path / "model")
    assert tracemalloc.get_traced_memory()[1] < 16 << 20
    tracemalloc.stop()


def test_tensors_must_be_those_of_the_network(tmp_path: Path) -> None:
    own = dict(members.named_leaves(trained().params))
    for name, arrays in {
        r"0\.bias has shape None": {key: leaf for key, leaf in own.items() if key != "0.bias"},
        r"9\.weight has shape \(1,\), expected the network's, None": own | {"9.weight": np.zeros(1, "float32")},
        r"0\.weight has shape \(4, 3\)": own | {"0.weight": own["0.weight"].T},
        r"0\.weight is float64": own | {"0.weight": own["0.weight"].astype("float64")},
        r"1\.running_var has shape": {key: leaf for key, leaf in own.items() if key != "1.running_var"},
    }.items():
        with pytest.raises(ModelFileError, match=name):
            load(forged(tmp_path / "model", lambda data: None, arrays))


def test_headers_with_other_tensors_are_refused(saved: Path, tmp_path: Path) -> None:
    """The header's own guards, which stand before the digest: lengths, dtypes, counts."""
    data = saved.read_bytes()
    for old, new, said in [
        (b'"F32"', b'"F16"', "no mlpcore file has"),
        (b'"shape":[3,4]', b'"shape":[9,4]', "another length"),
        (b'"shape":[3,4]', b'"shape":[-3,4]'[:13], "no mlpcore file|header was changed"),
        (b'"shape":[3,4]', b'"shape":[3.4]', "no mlpcore file has"),
        (b'"shape":[3,4]', b'"shape":["3"]', "no mlpcore file has"),
    ]:
        assert old in data
        (tmp_path / "file").write_bytes(data.replace(old, new, 1))
        refused(tmp_path / "file", said)


def test_caps_on_tensors_and_numbers(saved: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for cap in ("MAX_TENSORS", "MAX_NUMBERS"):
        with monkeypatch.context() as patch:
            patch.setattr(tensors, cap, 7)
            refused(saved, "more than mlpcore reads")
    with monkeypatch.context() as patch:
        patch.setattr(tensors, "MAX_HEADER", 100)
        refused(saved, "no mlpcore file")


def test_a_network_that_ends_in_its_own_link_is_refused(tmp_path: Path) -> None:
    def change(data: dict) -> None:
        data["net"]["layers"].append({"type": "Softmax"})
        data["loss"] = encode(SoftmaxCrossEntropy(), "loss")

    with pytest.raises(ModelFileError, match="ends in Softmax"):
        load(forged(tmp_path / "model", change))


def test_read_model_gives_specification_and_host_arrays(saved: Path) -> None:
    specification, params, _ = read_model(saved)
    assert isinstance(specification, Specification) and specification.net == NET
    assert isinstance(params[0]["weight"], np.ndarray) and params[2] == {}


def test_nested_residuals_are_not_walked_once_for_every_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Twice at every level would be 2^12 times below: a small file could keep its reader busy for ever."""
    asked: list[Any] = []
    monkeypatch.setattr(nn.LayerNorm, "output_width", lambda self, n_in: asked.append(n_in) or self.features)
    with pytest.raises(ModelFileError, match="has shape None"):
        load(forged(tmp_path / "model", put("net", nested("Residual", "layer", 12))))
    assert 0 < len(asked) < 1000
