"""PyTorch on a CPU or a CUDA device: each operation runs at once, without autograd."""

import sys
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from functools import partial
from importlib import import_module
from typing import Any

import numpy as np

from mlpcore.backends.backend import GPU_SPEED, GPU_STEPS, Backend, Compilers, DeviceExtras
from mlpcore.backends.compilation import Compilation
from mlpcore.backends.copy_queues import PlainCopies
from mlpcore.backends.device_errors import guarded, out_of_memory_in
from mlpcore.backends.library import first_line, load, misplaced, native, unavailable
from mlpcore.backends.precision import Scope, switched, with_precisions
from mlpcore.backends.prefetch import run_prefetched
from mlpcore.backends.run import Run, run_eagerly
from mlpcore.backends.streaming import streamed
from mlpcore.backends.torch.bfloat16 import bfloat16_products
from mlpcore.memory import OutOfMemory, memory_error
from mlpcore.namespace import namespace
from mlpcore.signals import signals_pass
from mlpcore.trees import Layout
from mlpcore.typing import Step

INSTALL = "pip install torch (builds for CUDA: https://pytorch.org)"
# In the out-of-memory errors of CUDA, of the host on Linux, and of the host on Windows.
OUT_OF_MEMORY_TEXTS = ("out of memory", "can't allocate memory", "not enough memory")


def status() -> str:
    """``ready`` with the version and the devices."""
    torch = load("torch", "torch", INSTALL)
    cards = [f"cuda:{i} {torch.cuda.get_device_name(i)}" for i in range(torch.cuda.device_count())]
    return f"ready (torch {torch.__version__}: {', '.join(['cpu', *cards])})"


def to_numpy(x: Any) -> np.ndarray:
    """The tensor's values on the host; bfloat16, which NumPy lacks, as float32."""
    host = x.detach().cpu()
    return (host.float() if str(host.dtype) == "torch.bfloat16" else host).numpy()


@signals_pass()
def create(device: Any = None) -> Backend:
    """The backend on ``device``: "cpu" (None), "cuda", "cuda:1", or a ``torch.device``."""
    torch = load("torch", "torch", INSTALL)
    place = _place(torch, device)
    xp = import_module("array_api_compat.torch")

    def asarray(x: Any, dtype: Any = None) -> Any:
        if isinstance(x, torch.Tensor):
            if x.device != place:
                raise misplaced("torch", x.device, place, f"x.to({str(place)!r})")
            return x.detach().to(dtype=x.dtype if dtype is None else dtype)
        # Read-only arrays are copied: a tensor that shares their memory is undefined behaviour in torch.
        return torch.from_numpy(np.require(native(x), requirements="W")).to(device=place, dtype=dtype)

    def out_of_memory(error: BaseException) -> OutOfMemory | None:
        return out_of_memory_in(error, place, (RuntimeError,), OUT_OF_MEMORY_TEXTS, lambda: _free_memory(torch, place))

    def owns(x: Any) -> bool:
        return isinstance(x, torch.Tensor)

    cuda = place.type == "cuda"
    steps = run_prefetched(xp, asarray) if cuda else run_eagerly(xp, asarray)

    def compile_step(step: Step, layout: Layout, compilation: Compilation) -> Run:
        if compilation.asked is True:
            namespace(torch.empty(0))  # fills a cache: torch.compile would warn about the look-up
            compilation.set("torch.compile", "compile=True")
            run = steps(torch.compile(step, dynamic=False), layout)
        else:
            run = steps(step, layout, compilation)
        return streamed(run, lambda: PlainCopies(asarray), xp.concat) if cuda else run

    return Backend(
        name="torch",
        xp=xp,
        device=place,
        dtypes={"float32": torch.float32, "float64": torch.float64},
        asarray=asarray,
        to_numpy=to_numpy,
        owns=owns,
        # Not inference_mode: a user's autograd rejects tensors from it, such as predictions.
        scope=lambda dtype: guarded(
            torch.no_grad(), lambda error: (lack := out_of_memory(error)) and memory_error(lack)
        ),
        compile=with_precisions(Compilers(compile_step), _precisions(torch, place)),
        extras=DeviceExtras(
            out_of_memory=out_of_memory,
            free_memory=lambda: _free_memory(torch, place),
            synchronize=(lambda: torch.cuda.synchronize(place)) if cuda else (lambda: None),
            relative_speed=GPU_SPEED if cuda else 1.0,
            max_chunk_steps=GPU_STEPS if cuda else sys.maxsize,
            dlpack_device=(2, place.index) if cuda else None,
            borrow=torch.from_dlpack,
        ),
    )


def _precisions(torch: Any, place: Any) -> dict[str, Scope]:
    """The contexts of the precisions: "highest" (true float32) and "bfloat16" everywhere, "tf32" on CUDA devices.

    They override the user's switches.
    """
    cuda = place.type == "cuda"
    switch = getattr(torch.backends.cuda if cuda else torch.backends.mkldnn, "matmul", None)
    # Since torch 2.9 the switch takes a name. Before, it is a bool on CUDA devices, and the CPU has none of its own.
    name, values = "fp32_precision", dict[str, Any](ieee="ieee", tf32="tf32")
    if not hasattr(switch, name):
        name, values = "allow_tf32", dict[str, Any](ieee=False, tf32=True)

    def scope(kind: str) -> AbstractContextManager[None]:
        if not hasattr(switch, name):
            return nullcontext()
        return switched(lambda: getattr(switch, name), lambda value: setattr(switch, name, value), values[kind])

    @contextmanager
    def rounded() -> Iterator[None]:
        with scope("ieee"), bfloat16_products(torch):
            yield

    scopes: dict[str, Scope] = {"highest": partial(scope, "ieee"), "bfloat16": rounded}
    return scopes | ({"tf32": partial(scope, "tf32")} if cuda else {})


def _free_memory(torch: Any, place: Any) -> int | None:
    """Bytes that torch can allocate on a CUDA device: free memory and free blocks of its pool; None for the host."""
    if place.type != "cuda":
        return None
    free_in_pool = torch.cuda.memory_reserved(place) - torch.cuda.memory_allocated(place)
    return torch.cuda.mem_get_info(place)[0] + free_in_pool


def _place(torch: Any, device: Any) -> Any:
    """The ``torch.device`` of a first tensor made on ``device``; BackendUnavailable if that fails."""
    try:
        place = torch.empty(1, device="cpu" if device is None else device).device
    except Exception as error:  # AssertionError, RuntimeError or TypeError, depending on the build
        remedy = f"expected 'cpu', or 'cuda:0' with a CUDA build of torch and a GPU; {INSTALL}"
        raise unavailable("torch", f"device {device!r} cannot be used: {first_line(error)}", remedy) from error
    if place.type == "meta":
        raise unavailable("torch", "device 'meta' holds no numbers", "use 'cpu' or 'cuda:0'")
    return place if place.type != "cpu" else torch.device("cpu")
