"""`get_backend` opens a backend by its name, `available_backends` lists all. No other module chooses a library.

A name is that of a module beside this one. It has ``create(device)``, which makes the `Backend`; ``status()``, which
returns ``ready (...)`` or raises BackendUnavailable; and ``to_numpy(x)`` for an array of its library on any device. For
a machine with several devices it may have ``device_of_rank(rank)``.
"""

from importlib import import_module
from typing import Any

from mlpcore.backends.backend import Backend
from mlpcore.errors import BackendUnavailable, ConfigurationError
from mlpcore.signals import signals_pass

NAMES = ("numpy", "cupy", "torch", "jax", "array_api_strict")


def get_backend(name: str | Backend, device: Any = None) -> Backend:
    """The backend called ``name`` on ``device`` (None: its default); a `Backend` is returned as it is.

    ConfigurationError for an unknown name, or for a `Backend` on another device than ``device``. BackendUnavailable for
    a missing library or device, with the cause and the remedy. The library is imported here, not with mlpcore.
    """
    if isinstance(name, Backend):
        if device not in (None, name.device):
            raise ConfigurationError(
                f"device is {device!r}, but the backend that was passed is on {name.device!r}; leave device out"
            )
        return name
    if name == "auto":
        raise ConfigurationError('backend is "auto", which is chosen for a network: pass it to the model or to load')
    if name not in NAMES:
        raise ConfigurationError(f"backend is {name!r}, expected one of {', '.join(map(repr, NAMES))}")
    return import_module(f"mlpcore.backends.{name}").create(device)


def device_of_rank(name: str | Backend, rank: int) -> Any:
    """The device of a backend for process ``rank`` of those on this machine; None is its default device."""
    if name not in NAMES:
        return None
    choose = getattr(import_module(f"mlpcore.backends.{name}"), "device_of_rank", None)
    return None if choose is None else choose(rank)


@signals_pass()
def available_backends() -> dict[str, str]:
    """Every backend's name, with ``ready (...)`` or the reason why it cannot run here."""
    statuses = {}
    for name in NAMES:
        try:
            statuses[name] = import_module(f"mlpcore.backends.{name}").status()
        except BackendUnavailable as error:
            statuses[name] = str(error).removeprefix(f"backend {name!r}: ")
    return statuses
