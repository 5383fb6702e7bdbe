"""A context in which all float32 products of torch, also those of other code, round their factors to bfloat16."""

from contextlib import AbstractContextManager
from functools import cache
from importlib import import_module
from typing import Any

# Every product of the Array API standard calls one of these functions of torch.
PRODUCTS = ("matmul", "__rmatmul__", "mm", "bmm", "mv", "dot", "tensordot")


def bfloat16_products(torch: Any) -> AbstractContextManager:
    """The context in which products of float32 arrays take factors rounded to bfloat16, with sums in float32."""
    return _mode(torch)()


@cache
def _mode(torch: Any) -> Any:
    mode: Any = import_module("torch.overrides").TorchFunctionMode

    class Bfloat16Products(mode):
        def __torch_function__(self, function: Any, types: Any, args: tuple = (), kwargs: dict | None = None) -> Any:
            kwargs = kwargs or {}
            if function.__name__ not in PRODUCTS or not all(factor.dtype == torch.float32 for factor in args[:2]):
                return function(*args, **kwargs)
            first, second = (factor.to(torch.bfloat16) for factor in args[:2])
            if (
                function.__name__ in ("matmul", "mm")
                and first.is_cuda
                and first.ndim == second.ndim == 2
                and not kwargs
            ):
                return torch.mm(first, second, out_dtype=torch.float32)
            # As float32 factors: torch would round the result of bfloat16 factors to bfloat16.
            return function(first.to(torch.float32), second.to(torch.float32), *args[2:], **kwargs)

    return Bfloat16Products
