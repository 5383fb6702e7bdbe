"""Chooses between NumPy and the GPU for the work of a call."""

import math
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib import import_module
from typing import Any, NamedTuple

import numpy as np

from mlpcore.backends import get_backend
from mlpcore.backends.backend import Backend
from mlpcore.backends.choice.kept import kept
from mlpcore.backends.choice.measurement import STEP, Measurement
from mlpcore.backends.choice.rule import estimated
from mlpcore.errors import BackendUnavailable, MlpcoreWarning
from mlpcore.signals import signals_pass

AUTO, HOST, GPU = "auto", "numpy", "cupy"
ADVICE = "`mlpcore crossover` measures in about a minute from which size on the GPU pays"


class Work(NamedTuple):
    """The operations of a training step or of a prediction: FLOPs of its matrix products, and their dtype.

    ``what`` is "step" or "prediction". For a network with f FLOPs per row in its forward pass, see `mlpcore.summary`,
    a prediction of n rows has n f, and a step 3 n f.
    """

    what: str
    flops: float
    dtype: str

    @classmethod
    def of(cls, what: str, forward_flops: float, rows: int, dtype: str) -> "Work":
        """The work for a network with ``forward_flops`` per row and for so many rows."""
        return cls(what, (3 if what == STEP else 1) * float(forward_flops) * rows, dtype)


@dataclass(frozen=True)
class Choice:
    """The backend that was chosen, on which device (None: its default), and why."""

    backend: str
    why: str
    device: Any = None

    def __str__(self) -> str:
        return f"{self.backend}: {self.why}"

    def open(self) -> Backend:
        """The backend."""
        return get_backend(self.backend, self.device)


def choose(work: Work, device: Any = None, *, measured_only: bool = False) -> Choice:
    """NumPy, or CuPy where a GPU can be used and should be faster for this work.

    What `mlpcore crossover` has measured on this machine decides. Without it an estimate does, with an `MlpcoreWarning`
    once a process; with ``measured_only`` it is NumPy then. ``device`` is one of CuPy, or "cpu" for NumPy. The choice
    depends on the work, the machine and the kept measurement only, not on its load. BackendUnavailable for a device
    that a machine with a GPU does not have.
    """
    if device == "cpu":
        return Choice(HOST, "device='cpu'")
    measurement, ignored = kept()
    if measured_only and measurement is None:
        return Choice(HOST, ignored or f"nothing was measured on this machine; {ADVICE}")
    try:
        here = setup(device)
    except BackendUnavailable as error:
        if device is not None and _usable():  # there is a GPU, but not this one
            raise
        return Choice(HOST, f"no GPU can be used ({str(error).removeprefix(f'backend {GPU!r}: ')})")
    limit, source = None, ignored or "a GPU can be used, but was not measured"
    if measurement is not None:
        limit, source = _measured(measurement, work, here)
    if limit is None:
        if measured_only:
            return Choice(HOST, f"{source}; {ADVICE}")
        limit = estimated(work.dtype, int(here["threads"]))
        _warn_once(f'backend="auto": {source}; what it chooses is an estimate. {ADVICE}')
        source = f"an estimate; {ADVICE}"
    name = GPU if work.flops >= limit else HOST
    return Choice(name, f"{_compared(work, limit)} ({source})", device if name == GPU else None)


def _usable() -> bool:
    """Whether the default GPU can be used."""
    try:
        setup()
    except BackendUnavailable:
        return False
    return True


def _measured(measurement: Measurement, work: Work, here: Mapping[str, str]) -> tuple[float | None, str]:
    """The measured threshold and where it comes from; else None and why the measurement is of no use."""
    if difference := measurement.difference(here):
        return None, f"the measurement of {measurement.date} is ignored, as {difference}"
    limit = measurement.threshold(work.dtype, work.what)
    if limit is None:
        return None, f"{work.what}s in {work.dtype} were not measured"
    return limit, f"measured on {measurement.date} on this {here['card']}"


def may_leave_host() -> bool:
    """Whether a measurement of this machine is kept by which the GPU pays for some work."""
    measurement, _ = kept()
    if measurement is None:
        return False
    try:
        different = measurement.difference(setup())
    except BackendUnavailable:
        return False
    return not different and any(math.isfinite(measurement.threshold(*key) or math.inf) for key in measurement.points)


@signals_pass()
def setup(device: Any = None) -> Mapping[str, str]:
    """What times on this machine depend on, by the names in `SETUP`; BackendUnavailable without a usable GPU."""
    from mlpcore.compiler.build import processor  # imported when first used
    from mlpcore.compiler.cache import digest

    card = import_module(f"mlpcore.backends.{GPU}.first_product").describe(device)
    return card | {
        "mlpcore": import_module("mlpcore").__version__,
        "numpy": np.__version__,
        "processor": digest(processor().encode()),
        "threads": str(get_backend(HOST).compile.threads()),
    }


def _compared(work: Work, limit: float) -> str:
    """The work beside the threshold, as text."""
    size = f"a {work.what} has {work.flops:.2g} FLOPs in {work.dtype}"
    if math.isinf(limit):
        return f"{size}, and the GPU is taken for no size"
    return f"{size}, {'and' if work.flops >= limit else 'but'} the GPU pays from {limit:.2g} on"


@cache
def _warn_once(text: str) -> None:
    warnings.warn(text, MlpcoreWarning, stacklevel=5)
