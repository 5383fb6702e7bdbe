"""The arguments of a fit as JSON values, by which a resumed fit is compared with the one that wrote a checkpoint."""

import dataclasses
import hashlib
from collections.abc import Iterator
from typing import Any

import numpy as np

from mlpcore.backends.transfer import library_of, to_host
from mlpcore.configuration import plain
from mlpcore.distributed.communicator import Communicator
from mlpcore.errors import RankError
from mlpcore.files.specification import Specification, encode, short, type_name
from mlpcore.training.callbacks import Rule


def describe(value: Any) -> Any:
    """The JSON value of a configuration, for comparison only.

    A dataclass that is not mlpcore's own becomes the fields that are compared, an array its digest, any other object
    its name.
    """

    def foreign(value: Any, where: str) -> Any:
        if dataclasses.is_dataclass(value) and not isinstance(value, type):
            fields = {f.name: getattr(value, f.name) for f in dataclasses.fields(value) if f.compare}
            return {"type": type(value).__qualname__} | {
                name: encode(part, f"{where}.{name}", foreign) for name, part in fields.items()
            }
        if isinstance(value, float):
            return repr(value)
        if isinstance(value, list):
            return encode(tuple(value), where, foreign)
        if isinstance(value, dict):
            return {str(key): encode(part, f"{where}.{key}", foreign) for key, part in value.items()}
        if library_of(value) is not None and (host := to_host(value)).dtype != object:
            return digest(host)
        return f"<{getattr(value, '__qualname__', type(value).__qualname__)}>"

    return encode(value, "", foreign)


def describe_fit(specification: Specification, rows: int, batch_size: int, shuffle: bool | str) -> dict[str, Any]:
    """What a resumed fit must share with the fit that wrote the checkpoint, except weights and callbacks."""
    about = describe(specification) | {"rows": rows, "batch_size": batch_size, "shuffle": shuffle}
    return {name: value for name, value in about.items() if name not in ("metrics", "precision")}


def describe_weights(class_weight: Any, sample_weights: np.ndarray, weights: np.ndarray) -> dict[str, Any]:
    """The weights of a fit for comparison: class weights, and digests of row weights without and with them."""
    if isinstance(class_weight, dict):
        class_weight = {str(label): float(plain(weight)) for label, weight in class_weight.items()}
    rows = {"sample_weight": sample_weights, "together": weights}
    return {"class_weight": class_weight} | {n: None if np.all(w == 1) else digest(w) for n, w in rows.items()}


def describe_callback(callback: Any) -> dict[str, Any]:
    """The type of a callback with a state, and the arguments if it is the library's."""
    return {"type": type(callback).__name__} | (callback.arguments() if isinstance(callback, Rule) else {})


def digest(array: np.ndarray) -> str:
    """Dtype, shape and the first 64 bits of the SHA-256 of a host array, as text."""
    return f"{array.dtype} {array.shape} sha256 {hashlib.sha256(array.tobytes()).hexdigest()[:16]}"


def differences(saved: Any, own: Any, where: str = "") -> Iterator[tuple[str, Any, Any]]:
    """``(where, saved, own)`` for every value that differs between two JSON values."""
    if isinstance(saved, dict) and isinstance(own, dict) and type_name(saved) == type_name(own):
        for name in sorted((saved.keys() | own.keys()) - {"type"}):
            yield from differences(saved.get(name), own.get(name), f"{where}.{name}" if where else name)
    elif isinstance(saved, list) and isinstance(own, list) and len(saved) == len(own):
        for i, pair in enumerate(zip(saved, own, strict=True)):
            yield from differences(*pair, f"{where}[{i}]")
    elif saved != own:
        yield where, saved, own


def check_same(communicator: Communicator, about: dict[str, Any]) -> None:
    """RankError on all ranks unless these JSON values are the same on all; it names the first difference."""
    first, *others = communicator.gather(about)
    for rank, other in enumerate(others, start=1):
        for where, ours, theirs in differences(first, other):
            raise RankError(
                f"fit: {where} is {short(theirs)} on rank {rank} and {short(ours)} on rank 0; all ranks must make the "
                "same call on the same model"
            )
