"""Named tensors and JSON values in one safetensors file, written completely or not at all, with a digest.

The metadata have one entry, ``mlpcore``: a JSON text that begins with the SHA-256 of the whole file, computed with the
64 digits of the digest itself as zeros. So every changed byte is detected, also in the header. The digest protects
against accidents, not against forgery: anyone can compute it, so everything in a file is checked before use.
"""

import hashlib
import json
import math
import os
import stat
from collections.abc import Mapping
from typing import Any, BinaryIO

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load as load_bytes
from safetensors.numpy import save as save_bytes

from mlpcore.errors import ModelFileError
from mlpcore.files.specification import parse, short
from mlpcore.files.writing import Path, check_target, replace_file
from mlpcore.memory import HostMemory

VERSION = 1
DTYPES = {  # name in a file: name in NumPy
    **{"F32": "float32", "F64": "float64", "BOOL": "bool"},
    **{"I8": "int8", "I16": "int16", "I32": "int32", "I64": "int64"},
    **{"U8": "uint8", "U16": "uint16", "U32": "uint32", "U64": "uint64"},
}
MAX_HEADER = 16 << 20  # bytes
MAX_TENSORS = 100_000
MAX_NUMBERS = 1 << 33  # in all tensors together
KINDS = {
    "model": "a model file; read it with mlpcore.load",
    "checkpoint": "a checkpoint; pass it to fit(..., resume=...)",
    "stack": "a stack; read it with mlpcore.Stack.load",
    "ensemble": "an ensemble; read it with mlpcore.Ensemble.load",
}

_ZEROS = b"0" * 64
_MARK = b'"mlpcore":"{\\"sha256\\":\\"'  # quotes in names and values are escaped, so this occurs only once


@HostMemory()
def write(path: Path, kind: str, about: dict[str, Any], tensors: Mapping[str, Any]) -> None:
    """Write a file of this kind with the JSON values ``about`` and host tensors; replaces an existing file.

    After an error the old file is unchanged, see `replace_file`.
    """
    check_target(path)
    # safetensors 0.8 writes wrong values for arrays that are not C-contiguous; ascontiguousarray changes 0-d shapes.
    arrays = {name: np.asarray(tensor, order="C") for name, tensor in tensors.items()}
    for name, array in arrays.items():
        if array.dtype.name not in DTYPES.values():
            raise ModelFileError(f"{name} has dtype {array.dtype}, expected one of {', '.join(DTYPES.values())}")
    text = json.dumps({"sha256": _ZEROS.decode(), "version": VERSION, "kind": kind, **about}, separators=(",", ":"))
    data = save_bytes(arrays, {"mlpcore": text})
    start = data.index(_MARK) + len(_MARK)
    replace_file(path, (data[:start], _digest(data, start), memoryview(data)[start + len(_ZEROS) :]))


@HostMemory()
def read(path: Path, *kinds: str) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    """``(about, tensors)`` of a complete, unchanged file of one of these kinds, in a version that this release reads.

    The header is checked against the limits and the length of the file before memory of its sizes is allocated.
    FileNotFoundError where there is no file, ModelFileError for every other fault.
    """
    name, expected = os.fspath(path), " or ".join(f"an {kind}" if kind == "ensemble" else f"a {kind}" for kind in kinds)
    try:
        with open(name, "rb") as file:
            about = _about(file, name)
            if about.get("kind") not in kinds:
                description = KINDS.get(str(about.get("kind")), f"of the unknown kind {short(about.get('kind'))}")
                raise ModelFileError(f"{name} is {description}; expected {expected}")
            file.seek(0)
            data = file.read()
    except IsADirectoryError:
        raise ModelFileError(f"{name} is a directory, expected {expected} file") from None
    start = data.index(_MARK) + len(_MARK)
    if data[start : start + len(_ZEROS)] != _digest(data, start):
        raise ModelFileError(f"{name} was changed or damaged after it was written: its digest differs; use a copy")
    try:
        return about, load_bytes(data)
    except (SafetensorError, KeyError, ValueError) as error:
        raise ModelFileError(f"{name} is damaged: {error}; use a copy") from None


def kind_of(path: Path) -> str:
    """What kind of file it is by its header, which is read alone; errors as of `read`."""
    with open(path, "rb") as file:
        return str(_about(file, os.fspath(path)).get("kind"))


def _digest(data: bytes, start: int) -> bytes:
    """The SHA-256 of the file as hexadecimal digits, with the digest at ``start`` replaced by zeros."""
    view, digest = memoryview(data), hashlib.sha256()
    for piece in (view[:start], _ZEROS, view[start + len(_ZEROS) :]):
        digest.update(piece)
    return digest.hexdigest().encode()


def _about(file: BinaryIO, name: str) -> dict[str, Any]:
    """The JSON values in the header; ModelFileError unless the header fits the file, the limits and this release."""
    facts = os.fstat(file.fileno())
    if not stat.S_ISREG(facts.st_mode):
        raise ModelFileError(f"{name} is no regular file, expected one that mlpcore has written")
    head = file.read(8)
    length = int.from_bytes(head, "little")
    if length > MAX_HEADER or len(head) < 8:
        raise ModelFileError(
            f"{name} is no mlpcore file (or only the first bytes of one); pass one that save has written"
        )
    text = file.read(length)
    if len(text) < length:
        problem = "is truncated" if _MARK in text else "is no mlpcore file (or only the beginning of one)"
        raise ModelFileError(f"{name} {problem}: its header ends after {len(text)} of {length} bytes; use a copy")
    try:
        header = parse(text.decode(), name)
    except (ModelFileError, UnicodeDecodeError):
        raise ModelFileError(
            f"{name} is no mlpcore file, or its header was changed; pass one that save has written"
        ) from None
    metadata = header.pop("__metadata__", None) if isinstance(header, dict) else None
    if not isinstance(metadata, dict) or set(metadata) != {"mlpcore"} or _MARK not in text:
        raise ModelFileError(
            f"{name} was not written by mlpcore: the metadata have no entry 'mlpcore'; pass one that save has written"
        )
    about = parse(str(metadata["mlpcore"]), name)
    version = about.get("version") if isinstance(about, dict) else None
    if type(version) is not int or version < 1:
        raise ModelFileError(f"{name} has no valid format version: it was changed after it was written; use a copy")
    if version > VERSION:
        raise ModelFileError(
            f"{name} was written by a newer mlpcore, format {version}; this one reads {VERSION}; upgrade mlpcore"
        )
    _check_tensors(header, facts.st_size - 8 - length, name)
    return about


def _check_tensors(header: dict[str, Any], size: int, name: str) -> None:
    """ModelFileError unless dtypes are allowed, lengths fit shapes, and the tensors fill the rest of the file."""
    numbers = end = 0
    for tensor, entry in header.items():
        entry = entry if isinstance(entry, dict) else {}
        kind, shape, offsets = str(entry.get("dtype")), _counts(entry.get("shape")), _counts(entry.get("data_offsets"))
        if kind not in DTYPES or shape is None or offsets is None or len(shape) > 8 or len(offsets) != 2:
            raise ModelFileError(
                f"{name}: the tensor {short(tensor)} is {short(entry)}, which no mlpcore file has; use a copy"
            )
        count = math.prod(shape)
        if offsets[1] - offsets[0] != count * np.dtype(DTYPES[kind]).itemsize:
            raise ModelFileError(f"{name}: the tensor {short(tensor)} has shape {shape} but another length; use a copy")
        numbers, end = numbers + count, max(end, offsets[1])
    if numbers > MAX_NUMBERS or len(header) > MAX_TENSORS:
        raise ModelFileError(
            f"{name} holds {len(header)} tensors of {numbers} numbers, more than mlpcore reads; use a copy"
        )
    if end > size:
        raise ModelFileError(f"{name} is truncated: its tensors end after {size} of {end} bytes; use a copy")
    if end < size:
        raise ModelFileError(f"{name} was changed: {size - end} bytes follow after its tensors; use a copy")


def _counts(data: Any) -> list[int] | None:
    """The list if it contains only nonnegative integers, else None."""
    return data if isinstance(data, list) and all(type(i) is int and i >= 0 for i in data) else None
