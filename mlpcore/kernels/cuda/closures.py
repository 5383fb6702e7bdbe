"""What a formula reads besides its arguments: its arrays become operands of the kernel, all else is part of its key."""

from collections.abc import Callable, Hashable
from types import CellType, FunctionType, ModuleType
from typing import Any

from mlpcore.kernels.cuda.tracing import NAMESPACE, Untraceable

Kind = type | tuple[type, ...]
_ARRAY = object()


def read(formula: Callable, kind: Kind) -> tuple[Hashable, list[Any]]:
    """A key that tells formulas apart by their code and constants, and the arrays of type ``kind`` they close over.

    The arrays are data: they may differ from call to call under the same key. A formula with defaults, or with a
    function made in a function in its closure, is Untraceable, for its constants could hide there.
    """
    function, owner = _parts(formula)
    if type(function) is not FunctionType or function.__defaults__ or function.__kwdefaults__:
        raise Untraceable("a formula that is no plain function or method")
    constants: list[Any] = [function.__code__, owner]
    arrays: list[Any] = []
    for cell in function.__closure__ or ():
        value = cell.cell_contents
        if isinstance(value, kind):
            arrays.append(value)
            constants.append(_ARRAY)
        elif type(value) is FunctionType and value.__closure__:
            raise Untraceable("a function in the closure of the formula")
        else:
            constants += (type(value), value)  # 1, 1.0 and True are equal, but not the same constant
    return tuple(constants), arrays


def rebuilt(formula: Callable, kind: Kind, library: ModuleType) -> Callable[..., Any]:
    """``f(symbols of the arguments, symbols of the arrays)``: the formula with symbols where it closes over arrays.

    The array library it closes over, as optimizers do, is replaced by the namespace of symbols.
    """
    function, owner = _parts(formula)

    def traced(arguments: list[Any], symbols: list[Any]) -> Any:
        left = list(symbols)
        cells = []
        for cell in function.__closure__ or ():
            value = cell.cell_contents
            given = left.pop(0) if isinstance(value, kind) else NAMESPACE if value is library else value
            cells.append(CellType(given))
        made = FunctionType(function.__code__, function.__globals__, function.__name__, None, tuple(cells))
        return made(*([] if owner is None else [owner]), *arguments)

    return traced


def _parts(formula: Any) -> tuple[Any, Any]:
    """The function of a method and its owner; a plain function has none."""
    owner = getattr(formula, "__self__", None)
    return (formula if owner is None else formula.__func__), owner
