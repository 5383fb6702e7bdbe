"""Products of torch whose factors are rounded to bfloat16, whoever asks for them."""

from contextlib import AbstractContextManager
from functools import cache
from importlib import import_module
from typing import Any

PRODUCTS = ("matmul", "__rmatmul__", "mm", "bmm", "mv", "dot", "tensordot")  # in which all those of the standard end


def bfloat16_products(torch: Any) -> AbstractContextManager:
    """The context in which products of float32 arrays take factors rounded to bfloat16, with sums in float32."""
    return _mode(torch)()


@cache
def _mode(torch: Any) -> Any:
    mode: Any = import_module("torch.overrides").TorchFunctionMode

    class Bfloat16Products(mode):
        def __torch_function__(self, function: Any, types: Any, args: tuple = (), words: dict | None = None) -> Any:
            words = words or {}
            if function.__name__ not in PRODUCTS or not all(one.dtype == torch.float32 for one in args[:2]):
                return function(*args, **words)
            first, second = (one.to(torch.bfloat16) for one in args[:2])
            if function.__name__ in ("matmul", "mm") and first.is_cuda and first.ndim == second.ndim == 2 and not words:
                return torch.mm(first, second, out_dtype=torch.float32)
            # Products of bfloat16 are rounded to it; of float32 factors that hold such numbers, they are exact.
            return function(first.to(torch.float32), second.to(torch.float32), *args[2:], **words)

    return Bfloat16Products
