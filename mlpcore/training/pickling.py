"""A model as plain data: for copies, for other backends, and for pickles between processes; no file format."""

import contextlib
from dataclasses import replace
from typing import Any

import numpy as np

from mlpcore.backends import get_backend
from mlpcore.backends.backend import Backend
from mlpcore.errors import BackendUnavailable, ConfigurationError
from mlpcore.layers.shapes import parameter_shapes
from mlpcore.trees import Layout, tree_map


def to_plain_data(model: Any) -> dict[str, Any]:
    """The specification, and all numbers as host arrays; nothing of a device."""
    with model.backend.scope(model.dtype):
        state = tree_map(lambda leaf: np.array(model.backend.to_numpy(leaf)), model.trainer.state)
    return {
        "specification": model.specification,
        "state": state,
        "progress": replace(model.trainer.progress),
        "metrics": dict(model.metrics),
        "backend": (model.backend.name, str(model.backend.device)),
        "compiled": (model.compiled.asked, model.compiled.kind),
    }


def from_plain_data(model: Any, data: dict[str, Any]) -> None:
    """Make the (empty) model what `to_plain_data` was given, its state of training too.

    ``data["backend"]`` may be a Backend; one that is named but cannot be opened here becomes NumPy.
    """
    place, specification, state = data["backend"], data["specification"], data["state"]
    backend = place if isinstance(place, Backend) else _nearest(*place)
    if not isinstance(place, Backend) and specification.precision not in backend.compile.precisions:
        specification = replace(specification, precision="highest")
    layout = Layout(parameter_shapes(specification.net, specification.dtype))
    params = layout.view(state.params, state.statistics)
    asked, kind = data["compiled"]
    model.__init__(**vars(specification), params=params, backend=backend, compile=asked)
    model.compiled.keep(kind, "the copied model")
    with backend.scope(specification.dtype):
        model.trainer.state = tree_map(backend.asarray, state)
    model.trainer.progress = replace(data["progress"])
    model.metrics = dict(data["metrics"])


def copied(model: Any, backend: Backend, asked: bool | str) -> Any:
    """A copy of the model, its state of training too, on the backend and with ``compile=asked``."""
    data = to_plain_data(model)
    copy = object.__new__(type(model))
    from_plain_data(copy, data | {"backend": backend, "compiled": (asked, data["compiled"][1])})
    return copy


def _nearest(name: str, device: str) -> Backend:
    """The backend on that device, else on its usual one, else NumPy, also for a backend of a user's own."""
    for choice in ((name, device), (name, None)):
        with contextlib.suppress(BackendUnavailable, ConfigurationError):
            return get_backend(*choice)
    return get_backend("numpy")
