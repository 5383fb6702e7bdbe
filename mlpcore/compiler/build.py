"""Finds a C compiler, compiles a text to a shared library and loads it; compiled libraries are cached on disk."""

import ctypes
import os
import platform
import shlex
import shutil
import subprocess
import sys
from contextlib import suppress
from functools import cache
from importlib import import_module
from importlib.util import find_spec
from itertools import count, takewhile
from pathlib import Path
from typing import BinaryIO, NamedTuple

from mlpcore.compiler import cache as library_cache
from mlpcore.compiler.cache import digest
from mlpcore.signals import signals_pass
from mlpcore.temporary import TemporaryFolder

NAMES = ("cc", "gcc", "clang")
TIMEOUT = 600.0  # seconds for one compilation
_LOADS = count()  # of libraries by this process
DESCRIPTORS = "/proc/self/fd"  # the files that this process has open, by number
# Flags for the instruction set of this machine. Those for macOS are taken from its documentation and were never run.
_NATIVE = {"x86_64": "-march=native", "amd64": "-march=native", "i686": "-march=native", "s390x": "-march=native"}
_NATIVE |= {"arm64": "-mcpu=native", "aarch64": "-mcpu=native", "ppc64le": "-mcpu=native"}
FLAGS = (
    # Not -O3, which unrolls short loops before it vectorises: slower code, and twice the time to compile.
    *("-O2", "-ftree-vectorize"),
    *(*filter(None, [_NATIVE.get(platform.machine().lower())]), "-std=gnu11"),
    *("-fPIC", "-shared", "-fvisibility=default"),
    # The same bits from every compiler: no contraction to fused multiply-add. No errno and no traps, which would
    # prevent vectorisation.
    *("-ffp-contract=off", "-fno-math-errno", "-fno-trapping-math"),
)
# The vectorizer's cost model of -O3, and no jump threading, which prevents vectorisation.
GCC_FLAGS = ("-fvect-cost-model=dynamic", "-fno-tree-pre", "-fno-thread-jumps")  # clang rejects these
# Lines of /proc/cpuinfo that determine the instruction set, on x86, Arm and RISC-V.
_CPU_FEATURES = {"vendor_id", "cpu family", "model", "model name", "stepping", "flags"}
_CPU_FEATURES |= {"Features", "CPU implementer", "CPU architecture", "CPU variant", "CPU part", "cpu", "isa", "uarch"}


class CompilerError(Exception):
    """There is no compiler, or it failed; the message is one line with the command and the reason."""


class Compiler(NamedTuple):
    """A C compiler: the command, whose first word is an absolute path, and the name by which it was found."""

    command: tuple[str, ...]
    name: str

    def version(self) -> str:
        """The first line that it prints for ``--version``."""
        with suppress(CompilerError):
            return _run([*self.command, "--version"]).strip().partition("\n")[0]
        return "unknown version"


def find_compiler() -> Compiler | None:
    """The compiler in ``CC``, which may hold arguments, else cc, gcc, clang or that of the wheel ``ziglang``."""
    return _find(os.environ.get("CC", "").strip(), os.environ.get("PATH"))


@cache
@signals_pass()
def _find(command: str, path: str | None) -> Compiler | None:
    """The compiler for these values of ``CC`` and ``PATH``."""
    if os.name != "posix":  # on Windows no compiler is used: flags, loading and BLAS were never tried there
        return None
    if command:
        try:
            program, *arguments = shlex.split(command)
        except ValueError:  # a quote that is not closed
            return None
        executable = shutil.which(program)
        return Compiler((os.path.abspath(executable), *arguments), command) if executable else None
    for name in NAMES:
        executable = shutil.which(name)
        if executable and not _stub(executable):
            return Compiler((os.path.abspath(executable),), name)
    wheel = find_spec("ziglang")
    for place in (wheel and wheel.submodule_search_locations) or ():
        executable = shutil.which("zig", path=place)
        if executable:
            return Compiler((os.path.abspath(executable), "cc"), "zig")
    return None


def no_compiler() -> str:
    """The message that no compiler was found, and where it was looked for."""
    if os.name != "posix":
        return "no C compiler is used on this system"
    command = os.environ.get("CC", "").strip()
    if command:
        return f"the C compiler that CC names, {command!r}, is not found"
    return f"no C compiler is found: none of {', '.join(NAMES)} in PATH, and no package ziglang"


def _stub(executable: str) -> bool:
    """Whether this is macOS's placeholder, which only offers to install Apple's tools (never tested on macOS)."""
    if sys.platform != "darwin" or not executable.startswith("/usr/bin/"):
        return False
    try:
        _run(["/usr/bin/xcode-select", "-p"])
    except CompilerError:
        return True
    return False


@signals_pass()
def build(text: str) -> ctypes.CDLL:
    """The loaded library of a C text, from the cache or compiled now; `CompilerError` where that fails."""
    compiler = find_compiler()
    if compiler is None:
        raise CompilerError(no_compiler())
    key = _key(text, compiler)
    file = library_cache.open_library(key)
    if file is not None:
        with file, suppress(OSError):
            return _load(file)
        library_cache.forget(key)
    try:
        with TemporaryFolder() as folder:
            library = _compile(text, compiler, Path(folder))
            library_cache.keep(key, library.read_bytes())
            with library.open("rb") as file:
                return _load(file)
    except OSError as error:  # nowhere to write, a full disk, or a library that cannot be loaded
        raise CompilerError(f"{' '.join(compiler.command)}: {error}") from error


def _key(text: str, compiler: Compiler) -> str:
    """The cache key of a library: a digest of text, flags, processor, version and compiler, 32 hexadecimal digits."""
    parts: list[object] = [text, FLAGS, GCC_FLAGS, processor(), import_module("mlpcore").__version__, sys.maxsize]
    for word in compiler.command:  # CC="ccache gcc" has two programs
        parts.append(word)
        with suppress(OSError):
            program = os.path.realpath(shutil.which(word) or word)
            status = os.stat(program)
            parts += [program, status.st_size, status.st_mtime_ns]
    return digest(repr(parts).encode())


@cache
def processor() -> str:
    """A description of the processor that differs where a compiler would generate different code."""
    lines: list[str] = []
    with suppress(OSError), open("/proc/cpuinfo", encoding="utf-8", errors="replace") as file:
        first = takewhile(str.strip, file)  # an empty line ends the first processor
        lines = [line for line in first if line.partition(":")[0].strip() in _CPU_FEATURES]
    return "".join([platform.system(), platform.machine(), *(lines or [platform.processor()])])


def _compile(text: str, compiler: Compiler, folder: Path) -> Path:
    """Compile in the folder and return the path; with relative file names the library does not contain the folder."""
    (folder / "step.c").write_text(text, encoding="utf-8")
    environment = {"TMPDIR": str(folder)}  # for files of the compiler's own
    if compiler.name == "zig":
        environment |= {
            "ZIG_GLOBAL_CACHE_DIR": str(library_cache.zig_folder() or folder),
            "ZIG_LOCAL_CACHE_DIR": str(folder),
        }
    flags = GCC_FLAGS if _is_gcc(compiler) else ()
    _run([*compiler.command, *FLAGS, *flags, "step.c", "-o", "step.so", "-lm"], folder, environment)
    return folder / "step.so"


def _is_gcc(compiler: Compiler) -> bool:
    """Whether the compiler is GCC, by the name of its file; macOS's gcc and zig's cc are clang."""
    names = [os.path.basename(os.path.realpath(shutil.which(word) or word)) for word in compiler.command]
    clang = sys.platform == "darwin" or any("zig" in word for word in compiler.command)
    return not clang and any("gcc" in name for name in names)


def _run(command: list[str], folder: Path | None = None, environment: dict[str, str] | None = None) -> str:
    """The output of a program; `CompilerError` where it cannot be run, fails or takes longer than `TIMEOUT`."""
    variables = os.environ | {"LC_ALL": "C"} | (environment or {})
    output = ""
    try:
        process = subprocess.run(
            command,
            cwd=folder,
            env=variables,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            encoding="utf-8",
            errors="replace",
            timeout=TIMEOUT,
            check=False,
        )
        output, failed = process.stdout, process.returncode != 0
        reason = f"ended with {process.returncode}"
    except (OSError, subprocess.TimeoutExpired) as error:
        failed, reason = True, str(error)
    if failed:
        lines = [line.strip() for line in output.splitlines() if line.strip()]
        relevant = [line for line in lines if "error" in line.lower()] or lines or [reason]
        raise CompilerError(f"{shlex.join(command)}: {relevant[0][:500]}")
    return output


def _load(file: BinaryIO) -> ctypes.CDLL:
    """The library in an open file, loaded from memory where the file system is mounted ``noexec``."""
    try:
        return _load_open(file)
    except OSError:
        if not hasattr(os, "memfd_create"):
            raise
    with open(os.memfd_create("mlpcore"), "wb") as copy:
        file.seek(0)
        shutil.copyfileobj(file, copy)
        copy.flush()
        return _load_open(copy)


def _load_open(file: BinaryIO) -> ctypes.CDLL:
    """The library in an open file: this very file, whatever stands at its path by now."""
    number = str(file.fileno())
    if not os.path.exists(f"{DESCRIPTORS}/{number}"):  # as on macOS, where libraries are loaded by their path
        return ctypes.CDLL(os.fspath(file.name))
    # The loader takes libraries of one path for the same, and numbers of descriptors are used again: the binary digits
    # of a count are written into the path, as "/." and "//.".
    digits = format(next(_LOADS), "b").replace("0", "/.").replace("1", "//.")
    return ctypes.CDLL(f"{DESCRIPTORS}{digits}/{number}")
