"""How the code of a model runs: compiled or not, and why. Decided at the first fit, and then kept."""

import warnings
from dataclasses import dataclass, field
from functools import cache
from typing import Any

from mlpcore.errors import BackendUnavailable, CompilerWarning, ConfigurationError, MlpcoreWarning

CHOICES = ("auto", True, False)
ONE_KERNEL = "one kernel"  # a further choice on CUDA devices
C, CALLS, EAGER, CUDA = "C", "NumPy calls", "eager", "CUDA"  # kinds
# Compiled code saves about 100 us per step, and 1.5e-11 s per row and parameter (a quarter of the elementwise
# arithmetic). A compilation takes 0.2 to 0.4 s, once on a machine: it is worth it for some hundred epochs if each gets
# faster by a millisecond.
STEP_SECONDS, MULTIPLICATION_SECONDS, WORTH_SECONDS = 1e-4, 1.5e-11, 1e-3
NO_C, NO_BLAS = "there is no C compiler", "no BLAS could be found"
NO_COMPILER = (
    "there is no C compiler, so steps run as NumPy calls, which is slower for small networks. Install gcc or clang, "
    "or pip install 'mlpcore[compiled]'; compile=False silences this warning"
)


@dataclass
class Compilation:
    """How steps and predictions run: ``kind`` and ``why``; the printed text of the steps is ``source``.

    ``asked`` is the model's argument ``compile``: "auto", True, False or, on CUDA devices, "one kernel". ``precision``
    is the arithmetic of float32 products. ``kind`` is "C", "NumPy calls", "eager", "CUDA", or the name of the library
    that compiles; it is empty until the first fit.
    """

    asked: bool | str = "auto"
    kind: str = ""
    why: str = "nothing has been trained yet"
    sources: list[str] = field(default_factory=list, repr=False)
    precision: str = "highest"

    def __str__(self) -> str:
        return f"{self.kind}: {self.why}" if self.kind else self.why

    @property
    def source(self) -> str:
        """The printed C of the steps, one text for every kind of batch; empty where none was printed."""
        return "\n\n".join(self.sources)

    @property
    def compiles(self) -> bool:
        """Whether C is printed and compiled."""
        return self.kind == C or (not self.kind and self.asked is True)

    @property
    def captures(self) -> bool:
        """Whether the steps of a device are captured as one launch."""
        return self.asked is True or self.asked == ONE_KERNEL

    def check_eager(self, reason: Exception) -> None:
        """ConfigurationError if what was asked for needs traced code; ``reason`` is why tracing failed."""
        if self.asked == ONE_KERNEL:
            raise self.not_one_kernel(reason) from reason
        if self.precision != "highest":
            raise ConfigurationError(
                f"precision={self.precision!r} is for code that can be traced, and this cannot ({reason}); "
                "use precision='highest'"
            ) from reason

    def not_one_kernel(self, reason: Exception) -> ConfigurationError:
        """The error for ``compile="one kernel"`` where that cannot be."""
        return ConfigurationError(
            f"compile={ONE_KERNEL!r}: the step of this network cannot be one kernel ({reason}); leave out compile"
        )

    def set(self, kind: str, why: str) -> None:
        """Record the decision."""
        self.kind, self.why = kind, why

    def run_eagerly(self) -> None:
        """Decide to run eagerly; ConfigurationError with ``compile=True``."""
        if self.asked is True:
            raise ConfigurationError("compile=True: this backend runs each operation at once; leave out compile")
        self.set(EAGER, "this backend runs each operation at once")

    def keep(self, kind: Any, who: str, warn: bool = False) -> None:
        """Decide for the ``kind`` of an earlier fit, so that results are the same bit for bit.

        ``who`` names the model or file that comes from that fit. Where its kind cannot be used, the decision stays as
        it was, and results agree to rounding only; ``warn`` asks for a warning.
        """
        if kind not in (C, CALLS) or kind == self.kind or self.kind not in ("", C, CALLS):
            return
        possible = self.asked == "auto" and (kind == CALLS or not _missing())
        if possible:
            self.set(kind, f"as {who}")
            return
        if not warn or self.asked == (kind == C):  # the argument ``compile`` leads to the same kind
            return
        why = f"compile={self.asked}" if self.asked != "auto" else "there is no C compiler, or no BLAS could be found"
        warnings.warn(
            f"{who} was trained with {kind}, and training continues without ({why}): results agree to rounding, not "
            "bit for bit",
            MlpcoreWarning,
            stacklevel=7,
        )

    def fall_back(self, error: Exception) -> None:
        """Decide for NumPy calls after an error of the compiler; BackendUnavailable with ``compile=True``."""
        if self.asked is True:
            raise BackendUnavailable(
                f"compile=True: {error}; use compile='auto' to continue without compilation"
            ) from error
        _say_once(f"{error}; steps run as NumPy calls. compile=False silences this warning")
        self.set(CALLS, str(error))

    def decide(self, rows: int, batch: int, size: int) -> None:
        """Decide, unless that is done, for a fit of ``rows`` rows in batches of ``batch``, with ``size`` parameters.

        BackendUnavailable with ``compile=True`` if there is no compiler or no BLAS.
        """
        if self.kind:
            return
        saved, missing = seconds_saved(rows, batch, size), _missing()
        if self.asked is False:
            self.set(CALLS, "compile=False")
        elif missing:
            if self.asked is True:
                raise BackendUnavailable(f"compile=True: {missing}; pip install 'mlpcore[compiled]', or compile='auto'")
            if saved >= WORTH_SECONDS and missing == NO_C:
                _say_once(NO_COMPILER)
            self.set(CALLS, missing)
        elif self.asked is True:
            self.set(C, "compile=True")
        elif saved >= WORTH_SECONDS:
            self.set(C, f"about {1e3 * saved:.2g} ms saved in an epoch of {rows} rows in batches of {batch}")
        else:
            self.set(CALLS, f"an epoch of {rows} rows is too short to pay for a compilation; compile=True compiles")


def seconds_saved(rows: int, batch: int, size: int) -> float:
    """An estimate of the seconds that compiled code saves in an epoch.

    It depends on shapes alone, and not on measured times, so that equal fits run the same code.
    """
    return -(-rows // max(batch, 1)) * STEP_SECONDS + rows * size * MULTIPLICATION_SECONDS


def _missing() -> str:
    """What this machine lacks for compilation, as text; empty if nothing is missing."""
    from mlpcore.compiler import blas, build  # here, so that `import mlpcore` leaves the compiler out

    if build.find_compiler() is None:
        return NO_C
    return "" if blas.find() else NO_BLAS


@cache
def _say_once(text: str) -> None:
    warnings.warn(text, CompilerWarning, stacklevel=6)
