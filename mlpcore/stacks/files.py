"""Several models in one file: tensors named like ``3.2.weight``, of member 3, and the configuration of every member."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from mlpcore.backends.backend import Backend
from mlpcore.backends.compilation import C
from mlpcore.errors import ModelFileError
from mlpcore.files.models import PREFIX, decode_model, encode_model, write_with_extra
from mlpcore.files.tensors import read
from mlpcore.files.writing import Path
from mlpcore.loading import build_model, open_for
from mlpcore.memory import HostMemory
from mlpcore.model import Model
from mlpcore.trees import named_leaves


@HostMemory()
def save_models(
    path: Path,
    kind: str,
    models: Sequence[Model],
    extra_tensors: Mapping[str, Any] | None = None,
    extra: Mapping[str, Any] | None = None,
) -> None:
    """Write the models to one safetensors file of this kind, whole or not at all; ``extra`` is as of `Model.save`."""
    about = [encode_model(model.specification, C if model.compiled.kind == C else "") for model in models]
    tensors = {
        f"{i}.{name}": model.backend.to_numpy(leaf)
        for i, model in enumerate(models)
        for name, leaf in named_leaves(model.params)
    }
    write_with_extra(path, kind, {"members": about}, tensors, extra_tensors, extra)


@HostMemory()
def load_models(path: Path, kind: str, backend: str | Backend, device: Any = None) -> list[Model]:
    """The models of a file of this kind, on any backend, each of one process; errors as of `mlpcore.load`."""
    about, tensors = read(path, kind)
    members = about.get("members")
    if not isinstance(members, list) or not members or not all(isinstance(member, dict) for member in members):
        raise ModelFileError(f"{path}: there is no list of members, expected the file of an ensemble")
    own: list[dict[str, np.ndarray]] = [{} for _ in members]
    for name, tensor in sorted(tensors.items()):  # the order in which they are read is any
        if name.startswith(PREFIX):
            continue
        number, _, rest = name.partition(".")
        if not (number.isascii() and number.isdigit() and int(number) < len(own)):
            raise ModelFileError(f"{path}: the tensor {name} belongs to no member, expected those of {len(own)}")
        own[int(number)][rest] = tensor
    contents = [
        decode_model(member, mine, f"{path}: member {i}")
        for i, (member, mine) in enumerate(zip(members, own, strict=True))
    ]
    place, choice = open_for(contents[0][0], backend, device)  # one for all, by the first
    models = [build_model(*content, place, f"{path}: member {i}", None) for i, content in enumerate(contents)]
    for model in models:
        model.backend_choice = choice
    return models
