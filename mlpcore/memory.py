"""Lack of memory: what is known of it, the error that says so, and the context that translates those of the host."""

import re
from contextlib import AbstractContextManager, ContextDecorator
from types import TracebackType
from typing import NamedTuple

from mlpcore.errors import MlpcoreError, OutOfMemoryError

_UNITS = {unit: 1024**i for i, unit in enumerate(("B", "KIB", "MIB", "GIB", "TIB", "PIB", "EIB"))} | {"BYTES": 1}
# The libraries write "Out of memory allocating 8,192 bytes", "Tried to allocate 2.00 GiB", "allocating 2.5GiB".
_ASKED = re.compile(r"allocat\w*\s+(?:memory\s+of\s+)?(\d[\d.,]*)\s*(bytes|[KMGTPE]iB|B)\b", re.IGNORECASE)

HOST = "the host"


class OutOfMemory(NamedTuple):
    """The facts of an out-of-memory error on device ``place``: bytes requested and bytes free, None where unknown.

    ``most`` are the bytes that there are in all, where more were requested.
    """

    place: str
    asked: int | None
    free: int | None
    most: int | None = None


class MoreThanThereIs(MemoryError):
    """More bytes are ``asked`` for than the host has in all, which is ``most``; so nothing was allocated."""

    def __init__(self, asked: int, most: int) -> None:
        super().__init__(f"{size(asked)} were asked for, and there are {size(most)}")
        self.asked, self.most = asked, most


def bytes_asked(text: str) -> int | None:
    """The number of requested bytes in the text of an error, None if it names none."""
    found = _ASKED.search(text)
    return round(float(found[1].replace(",", "").rstrip(".")) * _UNITS[found[2].upper()]) if found else None


def host_out_of_memory(error: BaseException | None) -> OutOfMemory | None:
    """The facts of a MemoryError of NumPy or Python; None for other errors, and for those of mlpcore."""
    if not isinstance(error, MemoryError) or isinstance(error, MlpcoreError):
        return None
    if isinstance(error, MoreThanThereIs):
        return OutOfMemory(HOST, error.asked, None, error.most)
    return OutOfMemory(HOST, bytes_asked(str(error)), None)


def size(n: float) -> str:
    """A number of bytes as text: ``1.5 GiB``."""
    for unit in ("bytes", "KiB", "MiB", "GiB"):
        if n < 1024 or unit == "GiB":
            return f"{n:.0f} {unit}" if unit == "bytes" else f"{n:.1f} {unit}"
        n /= 1024
    raise AssertionError("the last unit takes all")


def describe(lack: OutOfMemory) -> str:
    """``out of memory on cuda:0: 4.0 GiB were asked for, 1.2 GiB are free``, as far as that is known."""
    numbers = ((lack.asked, "were asked for"), (lack.free, "are free"), (lack.most, "are there in all"))
    known = [f"{size(n)} {said}" for n, said in numbers if n is not None]
    return f"out of memory on {lack.place}" + (f": {', '.join(known)}" if known else "")


def memory_error(lack: OutOfMemory) -> OutOfMemoryError:
    """The error for a lack of memory outside of training steps: in a forward pass, or when data are moved."""
    remedy = "keep the rows on the host, or free other arrays of the device"
    if lack.place == HOST:
        remedy = "keep the rows in a memory-mapped file (np.load(path, mmap_mode='r')), or free other arrays"
    return OutOfMemoryError(f"{describe(lack)}. Use a smaller batch_size in predict and fit, {remedy}")


def translate(error: BaseException | None) -> None:
    """Raise the OutOfMemoryError for a MemoryError of NumPy or Python; nothing for other errors and None."""
    if error is not None and (lack := host_out_of_memory(error)) is not None:
        raise memory_error(lack) from error


class HostMemory(ContextDecorator):
    """The context ``scope``, in which a MemoryError of NumPy or Python becomes an OutOfMemoryError.

    It does for the host what `mlpcore.backends.device_errors.guarded` does for a device. Functions that are called
    outside of all scopes have it as a decorator: ``@HostMemory()``.
    """

    def __init__(self, scope: AbstractContextManager[object] | None = None) -> None:
        self._scope = scope

    def __enter__(self) -> None:
        if self._scope is not None:
            self._scope.__enter__()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._scope is not None:
            self._scope.__exit__(kind, error, traceback)
        translate(error)
