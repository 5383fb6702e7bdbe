"""How a model's code is run: whether it is compiled, and why. Decided at the first fit, and kept."""

import warnings
from dataclasses import dataclass, field
from functools import cache
from typing import Any

from mlpcore.compiler import blas
from mlpcore.compiler.build import find_compiler
from mlpcore.errors import BackendUnavailable, CompilerWarning, ConfigurationError, MlpcoreWarning

CHOICES = ("auto", True, False)
C, CALLS, EAGER, CUDA = "C", "NumPy calls", "eager", "CUDA"  # kinds
# What compiled code saves: about 100 us for every step, and a quarter of the arithmetic of elementwise operations. A
# compilation takes 0.2 to 0.4 s, once on a machine: it pays after some hundred epochs that save a millisecond each.
STEP_SECONDS, MULTIPLICATION_SECONDS, WORTH_SECONDS = 1e-4, 1.5e-11, 1e-3
NO_COMPILER = (
    "there is no C compiler, so steps run as NumPy calls, which is slower for small networks. Install gcc or clang, "
    "or pip install 'mlpcore[compiled]'; compile=False says that this is meant"
)


@dataclass
class Compilation:
    """How steps and predictions run: ``kind`` and ``why``; the printed text of the steps is ``source``.

    ``asked`` is "auto", True or False; ``precision`` is what products of float32 are computed in. ``kind`` is "C",
    "NumPy calls", "eager", or the name of the library that compiles; it is empty until the first fit.
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

    def check_eager(self, reason: Exception) -> None:
        """ConfigurationError where code that cannot be traced, for that reason, would run in another precision."""
        if self.precision != "highest":
            raise ConfigurationError(
                f"precision={self.precision!r} is for code that can be traced, and this cannot ({reason}); "
                "take precision='highest'"
            ) from reason

    def set(self, kind: str, why: str) -> None:
        """The decision."""
        self.kind, self.why = kind, why

    def run_eagerly(self) -> None:
        """Decide so; ConfigurationError where compilation was asked for."""
        if self.asked is True:
            raise ConfigurationError("compile=True: this backend runs each operation at once; leave out compile")
        self.set(EAGER, "this backend runs each operation at once")

    def keep(self, kind: Any, who: str, warn: bool = False) -> None:
        """Go on as the fit did that ``who`` comes from, where that can be, else as a new model would; ``warn`` says so.

        The numbers then agree to rounding.
        """
        if kind not in (C, CALLS) or kind == self.kind or self.kind not in ("", C, CALLS):
            return
        possible = self.asked == "auto" and (kind == CALLS or not _missing())
        if possible:
            self.set(kind, f"as {who}")
            return
        if not warn or self.asked == (kind == C):  # asked for what it was
            return
        why = f"compile={self.asked}" if self.asked != "auto" else "there is no C compiler, or no BLAS could be found"
        warnings.warn(
            f"{who} was trained by {kind}, and this goes on otherwise ({why}): numbers agree to rounding, not in "
            "every bit",
            MlpcoreWarning,
            stacklevel=5,
        )

    def fall_back(self, error: Exception) -> None:
        """Go on with NumPy calls where the compiler failed; BackendUnavailable where compilation was asked for."""
        if self.asked is True:
            raise BackendUnavailable(f"compile=True: {error}; compile='auto' goes on without") from error
        _say_once(f"{error}; steps run as NumPy calls. compile=False says that this is meant")
        self.set(CALLS, str(error))

    def decide(self, rows: int, batch: int, size: int) -> None:
        """Decide, where that is open, for a fit of so many rows in such batches of a network of ``size`` parameters.

        BackendUnavailable where compilation was asked for and there is no compiler.
        """
        if self.kind:
            return
        saved, missing = seconds_saved(rows, batch, size), _missing()
        if self.asked is False:
            self.set(CALLS, "compile=False")
        elif missing:
            if self.asked is True:
                raise BackendUnavailable(f"compile=True: {missing}; pip install 'mlpcore[compiled]', or compile='auto'")
            if saved >= WORTH_SECONDS and find_compiler() is None:
                _say_once(NO_COMPILER)
            self.set(CALLS, missing)
        elif self.asked is True:
            self.set(C, "compile=True")
        elif saved >= WORTH_SECONDS:
            self.set(C, f"about {1e3 * saved:.2g} ms saved in an epoch of {rows} rows in batches of {batch}")
        else:
            self.set(CALLS, f"an epoch of {rows} rows is too short to pay for a compilation; compile=True compiles")


def seconds_saved(rows: int, batch: int, size: int) -> float:
    """About what compiled code saves in an epoch. A function of shapes alone, so that the same fit is run the same."""
    return -(-rows // max(batch, 1)) * STEP_SECONDS + rows * size * MULTIPLICATION_SECONDS


def _missing() -> str:
    """What compilation lacks on this machine; empty where nothing is missing."""
    if find_compiler() is None:
        return "there is no C compiler"
    return "" if blas.find() else "no product of matrices could be found"


@cache
def _say_once(text: str) -> None:
    warnings.warn(text, CompilerWarning, stacklevel=6)
