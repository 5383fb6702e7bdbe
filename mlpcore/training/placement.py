"""``backend="auto"`` of models: from a network, its dtype and given parameters to the name of a backend."""

from typing import Any

from array_api_compat import device as device_of

from mlpcore.backends.backend import Backend
from mlpcore.backends.choice import AUTO, Choice, Work, choose
from mlpcore.backends.choice.measurement import PREDICTION, STEP
from mlpcore.backends.transfer import library_of
from mlpcore.summary import forward_flops
from mlpcore.trees import leaves
from mlpcore.typing import Layer, Params

__all__ = ["PREDICTION", "STEP", "placed"]

ROWS = 128  # of a batch where it is not known yet: the default of `Model.fit`


def placed(
    backend: str | Backend,
    device: Any,
    net: Layer,
    dtype: str,
    params: Params | None = None,
    *,
    what: str = STEP,
    rows: int = ROWS,
) -> tuple[str | Backend, Any, Choice | None]:
    """``(backend, device, choice)`` of models; only "auto" is replaced, by a choice. Another backend has no choice.

    "auto" is the library and device of ``params``, if they are not on the host, else what `choose` says of a training
    step, or of a prediction, of ``rows`` rows.
    """
    if not isinstance(backend, str) or backend != AUTO:
        return backend, device, None
    for leaf in leaves(params) if params is not None else ():
        library = library_of(leaf)
        if library not in (None, "numpy"):
            where = device_of(leaf) if device is None else device
            return str(library), where, Choice(str(library), "the parameters that were given are there", where)
    choice = choose(Work.of(what, forward_flops(net), rows, dtype), device)
    return choice.backend, choice.device, choice
