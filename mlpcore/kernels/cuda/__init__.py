"""CUDA sources and the arithmetic of their launches: pure text and numbers, which need neither a GPU nor CuPy."""

from typing import NamedTuple

BLOCK = 256  # threads of a block, where nothing speaks for another number


class Source(NamedTuple):
    """A CUDA source with one ``extern "C"`` kernel of that name, and the options it must be compiled with."""

    name: str
    code: str
    options: tuple[str, ...] = ()
