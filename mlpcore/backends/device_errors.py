"""What a library raises when its device fails at work, told in mlpcore's own errors."""

import re
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Any, NamedTuple

from mlpcore.errors import DeviceError, MlpcoreError, OutOfMemoryError

_UNITS = {unit: 1024**i for i, unit in enumerate(("B", "KIB", "MIB", "GIB", "TIB", "PIB", "EIB"))} | {"BYTES": 1}
# "Out of memory allocating 8,192 bytes", "Tried to allocate 2.00 GiB", "allocating 2.5GiB": what the libraries write.
_ASKED = re.compile(r"allocat\w*\s+(?:memory\s+of\s+)?(\d[\d.,]*)\s*(bytes|[KMGTPE]iB|B)\b", re.IGNORECASE)


class OutOfMemory(NamedTuple):
    """A lack of memory on ``place``: the bytes asked for and those free, None where they are not known."""

    place: str
    asked: int | None
    free: int | None


def bytes_asked(text: str) -> int | None:
    """The bytes that an error says were asked for, None where it does not say."""
    found = _ASKED.search(text)
    return round(float(found[1].replace(",", "").rstrip(".")) * _UNITS[found[2].upper()]) if found else None


def out_of_memory_in(
    error: BaseException, place: Any, kinds: tuple[type, ...], marks: tuple[str, ...], room: Callable[[], int | None]
) -> OutOfMemory | None:
    """The lack of memory that ``error`` tells of: of one of ``kinds``, saying one of ``marks``; None for another."""
    text = str(error)
    if not isinstance(error, kinds) or not any(mark in text for mark in marks):
        return None
    try:
        free = room()
    except Exception:  # a device that just failed may not answer
        free = None
    return OutOfMemory(str(place), bytes_asked(text), free)


def host_out_of_memory(error: BaseException) -> OutOfMemory | None:
    """The lack of memory that NumPy tells of."""
    return out_of_memory_in(error, "the host", (MemoryError,), ("Unable to allocate",), lambda: None)


def size(n: float) -> str:
    """A number of bytes for people: ``1.5 GiB``."""
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
    """The error of work that is no training step: a forward pass, or data on their way in."""
    return OutOfMemoryError(
        f"{describe(lack)}. Take a smaller batch_size in predict and fit, keep the rows on the host, or free what "
        "else lies there"
    )


def device_error(place: Any, cause: str, remedy: str) -> DeviceError:
    """The error of a device that failed at work."""
    return DeviceError(f"{place}: {cause}; {remedy}")


@contextmanager
def guarded(
    scope: AbstractContextManager[object], explain: Callable[[BaseException], MlpcoreError | None]
) -> Iterator[None]:
    """The context ``scope``, in which an error that ``explain`` knows becomes mlpcore's own, with its cause."""
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
