"""Converts a model to plain data and back, for copies, other backends and pickles between processes; no file format."""

import contextlib
from dataclasses import replace
from typing import Any

import numpy as np

from mlpcore.backends import get_backend
from mlpcore.backends.backend import Backend
from mlpcore.distributed import Communicator
from mlpcore.errors import BackendUnavailable, ConfigurationError
from mlpcore.layers.shapes import parameter_shapes
from mlpcore.memory import HostMemory
from mlpcore.trees import Layout, tree_map


def to_plain_data(model: Any) -> dict[str, Any]:
    """The specification of a model and its state as host arrays."""
    with model.backend.scope(model.dtype), model.trainer.reading():
        state = tree_map(lambda leaf: np.array(model.backend.to_numpy(leaf)), model.trainer.state)
    return {
        "specification": model.specification,
        "state": state,
        "progress": replace(model.trainer.progress),
        "metrics": dict(model.metrics),
        "backend": (model.backend.name, str(model.backend.device)),
        "compiled": (model.compiled.asked, model.compiled.kind),
        # A communicator ends with its process: elsewhere the model is that of one process.
        "distributed": None if isinstance(model.distributed, Communicator) else model.distributed,
    }


def from_plain_data(model: Any, data: dict[str, Any]) -> None:
    """Initialise the empty ``model`` from a result of `to_plain_data`, including its state of training.

    ``data["backend"]`` may also be a Backend. A named backend that is not available here is replaced, see `_nearest`.
    """
    target, specification, state = data["backend"], data["specification"], data["state"]
    backend = target if isinstance(target, Backend) else _nearest(*target)
    if not isinstance(target, Backend) and specification.precision not in backend.compile.precisions:
        specification = replace(specification, precision="highest")
    layout = Layout(parameter_shapes(specification.net, specification.dtype))
    params = layout.view(state.params, state.statistics)
    asked, kind = data["compiled"]
    distributed = data.get("distributed", "auto")  # pickles written before December 2026 have none
    model.__init__(**vars(specification), params=params, backend=backend, compile=asked, distributed=distributed)
    model.compiled.keep(kind, "the copied model")
    with backend.scope(specification.dtype):
        model.trainer.state = tree_map(backend.asarray, state)
    model.trainer.progress = replace(data["progress"])
    model.metrics = dict(data["metrics"])


@HostMemory()
def copied(model: Any, backend: Backend, asked: bool | str) -> Any:
    """A copy of the model, including its state of training, on the backend and with ``compile=asked``."""
    data = to_plain_data(model)
    copy = object.__new__(type(model))
    kept = {"compiled": (asked, data["compiled"][1]), "distributed": model.distributed}
    from_plain_data(copy, data | kept | {"backend": backend})
    return copy


def _nearest(name: str, device: str) -> Backend:
    """The named backend on this device, else on its default device, else NumPy."""
    for choice in ((name, device), (name, None)):
        with contextlib.suppress(BackendUnavailable, ConfigurationError):
            return get_backend(*choice)
    return get_backend("numpy")
