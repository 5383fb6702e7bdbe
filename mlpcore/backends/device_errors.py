"""Translates the errors of a library whose memory or device fails into mlpcore's own errors."""

import re
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Any, NamedTuple

from mlpcore.errors import DeviceError, MlpcoreError, OutOfMemoryError

_UNITS = {unit: 1024**i for i, unit in enumerate(("B", "KIB", "MIB", "GIB", "TIB", "PIB", "EIB"))} | {"BYTES": 1}
# The libraries write "Out of memory allocating 8,192 bytes", "Tried to allocate 2.00 GiB", "allocating 2.5GiB".
_ASKED = re.compile(r"allocat\w*\s+(?:memory\s+of\s+)?(\d[\d.,]*)\s*(bytes|[KMGTPE]iB|B)\b", re.IGNORECASE)


class OutOfMemory(NamedTuple):
    """The facts of an out-of-memory error on device ``place``: bytes requested and bytes free, None where unknown."""

    place: str
    asked: int | None
    free: int | None


def bytes_asked(text: str) -> int | None:
    """The number of requested bytes in the text of an error, None if it names none."""
    found = _ASKED.search(text)
    return round(float(found[1].replace(",", "").rstrip(".")) * _UNITS[found[2].upper()]) if found else None


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


def host_out_of_memory(error: BaseException) -> OutOfMemory | None:
    """The facts of an out-of-memory error of NumPy; None for other errors."""
    return out_of_memory_in(error, "the host", (MemoryError,), ("Unable to allocate",), lambda: None)


def size(n: float) -> str:
    """A number of bytes as text: ``1.5 GiB``."""
    for unit in ("bytes", "KiB", "MiB", "GiB"):
        if n < 1024 or unit == "GiB":
            return f"{n:.0f} {unit}" if unit == "bytes" else f"{n:.1f} {unit}"
        n /= 1024
    raise AssertionError("the last unit takes all")


def describe(lack: OutOfMemory) -> str:
    """``out of memory on cuda:0: 4.0 GiB were asked for, 1.2 GiB are free``, as far as that is known."""
    numbers = ((lack.asked, "were asked for"), (lack.free, "are free"))
    known = [f"{size(n)} {said}" for n, said in numbers if n is not None]
    return f"out of memory on {lack.place}" + (f": {', '.join(known)}" if known else "")


def memory_error(lack: OutOfMemory) -> OutOfMemoryError:
    """The error for a lack of memory outside of training steps: in a forward pass, or when data are moved."""
    return OutOfMemoryError(
        f"{describe(lack)}. Use a smaller batch_size in predict and fit, keep the rows on the host, or free other "
        "arrays of the device"
    )


def device_error(place: Any, cause: str, remedy: str) -> DeviceError:
    """The error for a device that failed."""
    return DeviceError(f"{place}: {cause}; {remedy}")


@contextmanager
def guarded(
    scope: AbstractContextManager[object], explain: Callable[[BaseException], MlpcoreError | None]
) -> Iterator[None]:
    """The context ``scope``, in which an error becomes that of ``explain(error)``, unless this is None."""
    try:
        with scope:
            yield
    except MlpcoreError:
        raise
    except Exception as error:
        known = explain(error)
        if known is None:
            raise
        raise known from error
