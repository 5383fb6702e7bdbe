"""Memory of the host that runs out on purpose: NumPy's arrays and Python's larger blocks, in every thread.

NumPy's default allocator and Python's are replaced, within a context, by a small C library that counts and lets the
n-th allocation fail. The two functions are those of the emulated device. The library's own printed C allocates nothing.
"""

import ctypes
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache

import numpy as np

from mlpcore.compiler.build import build

LEAST = 2048  # bytes of a block of Python's; that smaller ones are there is the interpreter's own affair
# Bytes of an array. NumPy 2.4 crashes where a scalar finds no 8 bytes: `np.float64(3)[..., None]` reads from NULL.
LEAST_ARRAY = 9
DOMAINS = (1, 2)  # of PyMem_SetAllocator: blocks and objects
HANDLER = 306  # the place of PyDataMem_DefaultHandler in the table of NumPy's C API, which is part of its ABI
OFFSET = 128  # of the functions in PyDataMem_Handler: after char name[127] and uint8_t version

TEXT = """
#include <stdatomic.h>
#include <stddef.h>

typedef struct {
  void *context;
  void *(*malloc)(void *, size_t);
  void *(*calloc)(void *, size_t, size_t);
  void *(*realloc)(void *, void *, size_t);
  void *free;
} Allocator;

static atomic_long count, first, end;
static Allocator before[3];  // of NumPy and of two domains of Python

static int fails(size_t size, size_t least) {
  if (size < least) return 0;
  const long number = atomic_fetch_add(&count, 1) + 1;
  return number >= atomic_load(&first) && number < atomic_load(&end);
}

#define REPLACED(K, LEAST) \\
  static void *malloc##K(void *context, size_t size) { \\
    return fails(size, LEAST) ? 0 : before[K].malloc(context, size); \\
  } \\
  static void *calloc##K(void *context, size_t n, size_t size) { \\
    return fails(n * size, LEAST) ? 0 : before[K].calloc(context, n, size); \\
  } \\
  static void *realloc##K(void *context, void *old, size_t size) { \\
    return fails(size, LEAST) ? 0 : before[K].realloc(context, old, size); \\
  }
REPLACED(0, %(array)d)
REPLACED(1, %(least)d)
REPLACED(2, %(least)d)

void replace(Allocator *allocator, int kind) {
  before[kind] = *allocator;
  allocator->malloc = kind == 0 ? malloc0 : kind == 1 ? malloc1 : malloc2;
  allocator->calloc = kind == 0 ? calloc0 : kind == 1 ? calloc1 : calloc2;
  allocator->realloc = kind == 0 ? realloc0 : kind == 1 ? realloc1 : realloc2;
}

void put_back(Allocator *allocator, int kind) { *allocator = before[kind]; }

void fail(long number, long many) { first = number; end = number + many; }

long counted(void) { return count; }
"""


@cache
def _library() -> ctypes.CDLL:
    library = build(TEXT % {"least": LEAST, "array": LEAST_ARRAY})
    library.fail.argtypes = [ctypes.c_long, ctypes.c_long]
    library.replace.argtypes = library.put_back.argtypes = [ctypes.c_void_p, ctypes.c_int]
    return library


@cache
def _numpys() -> int:
    """The address of the functions of NumPy's default allocator."""
    pointer = ctypes.pythonapi.PyCapsule_GetPointer
    pointer.restype, pointer.argtypes = ctypes.c_void_p, [ctypes.py_object, ctypes.c_char_p]
    table = ctypes.cast(pointer(np._core._multiarray_umath._ARRAY_API, None), ctypes.POINTER(ctypes.c_void_p))
    handler = ctypes.cast(table[HANDLER], ctypes.POINTER(ctypes.py_object))[0]
    return pointer(handler, b"mem_handler") + OFFSET


def counts() -> dict[str, int]:
    """The ``allocations`` within all contexts of `failing_allocations` so far."""
    return {"allocations": _library().counted()}


@contextmanager
def failing_allocations(first: int = 0, number: int = 1) -> Iterator[None]:
    """A context in which the ``first``-th allocation fails, and so do those up to ``number`` in all; with 0 none."""
    library, python, table = _library(), ctypes.pythonapi, (ctypes.c_void_p * 5)()
    library.fail(0, 0)
    library.replace(_numpys(), 0)
    for domain in DOMAINS:
        python.PyMem_GetAllocator(domain, table)
        library.replace(table, domain)
        python.PyMem_SetAllocator(domain, table)
    if first:
        library.fail(library.counted() + first, number)
    try:
        yield
    finally:
        library.fail(0, 0)
        for domain in DOMAINS:
            library.put_back(table, domain)
            python.PyMem_SetAllocator(domain, table)
        library.put_back(_numpys(), 0)
