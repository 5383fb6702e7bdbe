"""Model files: the named tensors of a network, and the configuration to build the model again.

Tensors are named like ``2.weight``, in the model's dtype, running statistics included; if the model keeps an average of
its parameters, the file holds the average. Data that a program attaches, such as the scaling of its columns and the
names of its labels, are tensors under ``extra.`` and JSON values in the metadata.
"""

import json
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

import numpy as np

from mlpcore.errors import ConfigurationError, ModelFileError
from mlpcore.files.specification import Specification, check_size, decode, encode
from mlpcore.files.tensors import read, write
from mlpcore.files.writing import Path
from mlpcore.layers.containers import children
from mlpcore.layers.shapes import parameter_shapes
from mlpcore.trees import named_leaves, tree_map
from mlpcore.typing import Layer, Params

PREFIX = "extra."
MIN_LARGEST = 1 << 20  # widths up to this are accepted in a specification even if the tensors hold fewer numbers


class Extra(NamedTuple):
    """Data that a program attached to a model file: host tensors by name, and JSON values by name."""

    tensors: dict[str, np.ndarray]
    values: dict[str, Any]


def save_model(
    path: Path,
    specification: Specification,
    params: Params,
    *,
    extra_tensors: Mapping[str, Any] | None = None,
    extra: Mapping[str, Any] | None = None,
    compiled: str = "",
) -> None:
    """Write a model file: host arrays ``params``, how the model runs (``compiled``), and attached data.

    ConfigurationError for a layer, loss or other part that is not mlpcore's own, and for ``extra`` values that JSON
    lacks, such as NaN and infinity. The file is written by `mlpcore.files.writing.replace_file`.
    """
    about = encode_model(specification, compiled)
    write_with_extra(path, "model", about, dict(named_leaves(params)), extra_tensors, extra)


def write_with_extra(
    path: Path,
    kind: str,
    about: dict[str, Any],
    tensors: dict[str, Any],
    extra_tensors: Mapping[str, Any] | None,
    extra: Mapping[str, Any] | None,
) -> None:
    """Write a file with data attached, see `save_model`; ``about`` and ``tensors`` are as for `write`."""
    _check_extra(extra)
    tensors = tensors | {f"{PREFIX}{name}": tensor for name, tensor in (extra_tensors or {}).items()}
    write(path, kind, about | {"extra": dict(extra or {})}, tensors)


def read_model(path: Path) -> tuple[Specification, Params, str]:
    """The specification, the parameters as host arrays, and how the model ran, from a model file.

    FileNotFoundError where there is no file. ModelFileError where it is no model file, truncated, changed, too new, or
    where specification and tensors do not match.
    """
    about, tensors = read(path, "model")
    params = {name: tensor for name, tensor in tensors.items() if not name.startswith(PREFIX)}
    return decode_model(about, params, str(path))


def encode_model(specification: Specification, compiled: str) -> dict[str, Any]:
    """What a file holds of a model beside its tensors, as JSON values."""
    return {"specification": encode(specification, "model"), "compiled": compiled}


def decode_model(
    about: Mapping[str, Any], tensors: dict[str, np.ndarray], who: str
) -> tuple[Specification, Params, str]:
    """What `read_model` returns, from the values of `encode_model` and the tensors by name."""
    numbers = sum(tensor.size for tensor in tensors.values())
    data = about.get("specification")
    check_size(data, who)
    # Every width is a length of some tensor; a larger one must not make a layer allocate memory.
    largest = max(numbers, MIN_LARGEST)
    check_size(data.get("net") if isinstance(data, dict) else None, who, largest)
    specification = decode(data, Specification, f"{who}: the specification")
    return specification, _placed(specification, tensors, largest, who), str(about.get("compiled", ""))


def read_extra(path: Path) -> Extra:
    """The data attached to the file of a model or an ensemble; the same errors as `read_model`."""
    about, tensors = read(path, "model", "ensemble")
    attached = {name.removeprefix(PREFIX): t for name, t in tensors.items() if name.startswith(PREFIX)}
    values = about.get("extra", {})
    if not isinstance(values, dict):
        raise ModelFileError(f"{path}: the attached values are {type(values).__name__}, expected an object")
    return Extra(attached, values)


def _check_extra(extra: Mapping[str, Any] | None) -> None:
    """ConfigurationError where the values would change in JSON: NaN, keys that are no strings, tuples."""
    try:
        unchanged = json.loads(json.dumps(dict(extra or {}), allow_nan=False)) == dict(extra or {})
    except (TypeError, ValueError) as error:
        raise ConfigurationError(
            f"extra cannot be written as JSON: {error}; use numbers, texts, lists and dicts"
        ) from None
    if not unchanged:
        raise ConfigurationError("extra changes when it is written as JSON; use texts as keys and lists for tuples")


def _placed(specification: Specification, tensors: dict[str, np.ndarray], largest: int, who: str) -> Params:
    """The tensors as the network's parameter tree; ModelFileError unless names, shapes and dtypes match exactly."""
    net, dtype = specification.net, specification.dtype
    if dtype not in ("float32", "float64"):
        raise ModelFileError(f"{who}: the specification's dtype is {dtype!r}, expected 'float32' or 'float64'")
    count = 0
    for layer in _leaves(net):
        count += sum(leaf.size for _, leaf in named_leaves(parameter_shapes(layer, dtype)))
        if count > largest:
            raise ModelFileError(
                f"{who}: the network has more parameters than the tensors in the file have numbers; use a copy"
            )
    tree = parameter_shapes(net, dtype)
    expected = {name: tuple(leaf.shape) for name, leaf in named_leaves(tree)}
    for name in sorted(expected.keys() | tensors.keys()):
        got = tuple(tensors[name].shape) if name in tensors else None
        if got != expected.get(name):
            raise ModelFileError(
                f"{who}: the tensor {name} has shape {got}, expected the network's, {expected.get(name)}"
            )
        if tensors[name].dtype.name != dtype:
            raise ModelFileError(f"{who}: the tensor {name} is {tensors[name].dtype}, expected {dtype} as specified")
    in_order = iter([tensors[name] for name in expected])
    return tree_map(lambda _: next(in_order), tree)


def _leaves(layer: Layer) -> Iterator[Layer]:
    """The layers inside a layer that contain no others; the layer itself if it contains none."""
    if not children(layer):
        yield layer
    for child in children(layer):
        yield from _leaves(child)
