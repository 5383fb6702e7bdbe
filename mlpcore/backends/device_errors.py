"""Translates the errors of a library whose memory or device fails into mlpcore's own errors."""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Any

from mlpcore.errors import DeviceError, MlpcoreError
from mlpcore.memory import OutOfMemory, bytes_asked, host_out_of_memory, memory_error


def out_of_memory_in(
    error: BaseException,
    place: Any,
    kinds: tuple[type, ...],
    texts: tuple[str, ...],
    free_memory: Callable[[], int | None],
) -> OutOfMemory | None:
    """The facts of an out-of-memory error: one of the classes ``kinds`` whose text has one of ``texts``; else None.

    ``free_memory()`` is the number of free bytes on the device ``place``.
    """
    text = str(error)
    if not isinstance(error, kinds) or not any(part in text for part in texts):
        return None
    try:
        free = free_memory()
    except Exception:  # a device that just failed may not answer
        free = None
    return OutOfMemory(str(place), bytes_asked(text), free)


def device_error(place: Any, cause: str, remedy: str) -> DeviceError:
    """The error for a device that failed."""
    return DeviceError(f"{place}: {cause}; {remedy}")


@contextmanager
def guarded(
    scope: AbstractContextManager[object], explain: Callable[[BaseException], MlpcoreError | None]
) -> Iterator[None]:
    """The context ``scope``, in which an error becomes that of ``explain(error)``, unless this is None.

    A lack of host memory is explained too: every library works with arrays on the host.
    """
    try:
        with scope:
            yield
    except MlpcoreError:
        raise
    except Exception as error:
        known = explain(error)
        if known is None and (lack := host_out_of_memory(error)) is not None:
            known = memory_error(lack)
        if known is None:
            raise
        raise known from error
