"""C into machine code: finds a compiler, compiles, and loads; what was compiled before comes from the cache."""

import ctypes
import os
import platform
import shlex
import shutil
import subprocess
import sys
import tempfile
from contextlib import suppress
from functools import cache
from importlib import import_module
from importlib.util import find_spec
from itertools import takewhile
from pathlib import Path
from typing import NamedTuple

from mlpcore.compiler import cache as kept
from mlpcore.compiler.cache import digest

NAMES = ("cc", "gcc", "clang")
PATIENCE = 600.0  # seconds for one compilation
# What a compiler is to do for the processor at hand. That macOS takes these flags is known but was not run.
_NATIVE = {"x86_64": "-march=native", "amd64": "-march=native", "i686": "-march=native", "s390x": "-march=native"}
_NATIVE |= {"arm64": "-mcpu=native", "aarch64": "-mcpu=native", "ppc64le": "-mcpu=native"}
FLAGS = (
    # Not -O3, which copies the bodies of short loops before it looks for vectors: slower code in twice the time.
    *("-O2", "-ftree-vectorize"),
    *(*filter(None, [_NATIVE.get(platform.machine().lower())]), "-std=gnu11"),
    *("-fPIC", "-shared", "-fvisibility=default"),
    # The same bits from every compiler: no fused multiply-add that the text does not ask for; no errno and no traps,
    # which would keep loops from becoming vectors.
    *("-ffp-contract=off", "-fno-math-errno", "-fno-trapping-math"),
)
# What -O3 has, and no jumps between conditions that belong together: a loop with such jumps does not become vectors.
GCC_FLAGS = ("-fvect-cost-model=dynamic", "-fno-tree-pre", "-fno-thread-jumps")  # clang refuses these words
# Lines of /proc/cpuinfo that say what a processor can do, on x86, Arm and RISC-V.
_ABILITIES = {"vendor_id", "cpu family", "model", "model name", "stepping", "flags"}
_ABILITIES |= {"Features", "CPU implementer", "CPU architecture", "CPU variant", "CPU part", "cpu", "isa", "uarch"}


class CompilerError(Exception):
    """There is no compiler, or it did not compile; one line that says what was run and what came of it."""


class Compiler(NamedTuple):
    """A C compiler: the words that call it, the first an absolute path, and the name by which it was found."""

    command: tuple[str, ...]
    name: str

    def version(self) -> str:
        """The first line of what it says of itself."""
        with suppress(CompilerError):
            return _run([*self.command, "--version"]).strip().partition("\n")[0]
        return "unknown version"


def find_compiler() -> Compiler | None:
    """``CC``, which may hold arguments; else cc, gcc or clang; else that of the wheel ``ziglang``; None without any."""
    return _find(os.environ.get("CC", "").strip(), os.environ.get("PATH"))


@cache
def _find(given: str, path: str | None) -> Compiler | None:
    """The compiler in this environment."""
    if os.name != "posix":  # on Windows neither flags, nor loading, nor where BLAS lies was ever tried: no compiler
        return None
    if given:
        try:
            program, *arguments = shlex.split(given)
        except ValueError:  # a quote that is not closed
            return None
        executable = shutil.which(program)
        return Compiler((os.path.abspath(executable), *arguments), given) if executable else None
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
    """Where a compiler was looked for in vain."""
    if os.name != "posix":
        return "no C compiler is used on this system"
    given = os.environ.get("CC", "").strip()
    if given:
        return f"the C compiler that CC names, {given!r}, is not found"
    return f"no C compiler is found: none of {', '.join(NAMES)} in PATH, and no package ziglang"


def _stub(executable: str) -> bool:
    """Whether it only asks to install Apple's tools: macOS has such programs where the tools are not (never run)."""
    if sys.platform != "darwin" or not executable.startswith("/usr/bin/"):
        return False
    try:
        _run(["/usr/bin/xcode-select", "-p"])
    except CompilerError:
        return True
    return False


def build(text: str) -> ctypes.CDLL:
    """The library of a C file, from the cache or compiled now. `CompilerError` where that cannot be."""
    compiler = find_compiler()
    if compiler is None:
        raise CompilerError(no_compiler())
    key = _key(text, compiler)
    found = kept.find(key)
    if found is not None:
        with suppress(OSError):
            return _load(found)
    try:
        with tempfile.TemporaryDirectory(prefix="mlpcore-") as folder:
            library = _compile(text, compiler, Path(folder))
            kept.keep(key, library.read_bytes())
            return _load(library)
    except OSError as error:  # nowhere to write, a full disk, or a library that cannot be loaded
        raise CompilerError(f"{' '.join(compiler.command)}: {error}") from error


def _key(text: str, compiler: Compiler) -> str:
    """What a library depends on, as 32 hexadecimal digits."""
    words: list[object] = [text, FLAGS, GCC_FLAGS, processor(), import_module("mlpcore").__version__, sys.maxsize]
    for word in compiler.command:  # CC="ccache gcc" has two programs
        words.append(word)
        with suppress(OSError):
            program = os.path.realpath(shutil.which(word) or word)
            status = os.stat(program)
            words += [program, status.st_size, status.st_mtime_ns]
    return digest(repr(words).encode())


@cache
def processor() -> str:
    """What tells processors apart for which a compiler writes different code."""
    lines: list[str] = []
    with suppress(OSError), open("/proc/cpuinfo", encoding="utf-8", errors="replace") as file:
        first = takewhile(str.strip, file)  # an empty line ends the first processor
        lines = [line for line in first if line.partition(":")[0].strip() in _ABILITIES]
    return "".join([platform.system(), platform.machine(), *(lines or [platform.processor()])])


def _compile(text: str, compiler: Compiler, folder: Path) -> Path:
    """The file of the library, compiled in the folder by names without it, so that it leaves no trace."""
    (folder / "step.c").write_text(text, encoding="utf-8")
    environment = {}
    if compiler.name == "zig":
        environment = {"ZIG_GLOBAL_CACHE_DIR": str(kept.zig_folder() or folder), "ZIG_LOCAL_CACHE_DIR": str(folder)}
    own = GCC_FLAGS if _is_gcc(compiler) else ()
    _run([*compiler.command, *FLAGS, *own, "step.c", "-o", "step.so", "-lm"], folder, environment)
    return folder / "step.so"


def _is_gcc(compiler: Compiler) -> bool:
    """Whether it is GCC by the name of its file: what macOS calls gcc is clang, and so is the word cc after zig."""
    names = [os.path.basename(os.path.realpath(shutil.which(word) or word)) for word in compiler.command]
    clang = sys.platform == "darwin" or any("zig" in word for word in compiler.command)
    return not clang and any("gcc" in name for name in names)


def _run(command: list[str], folder: Path | None = None, environment: dict[str, str] | None = None) -> str:
    """What a program prints; `CompilerError` where it cannot be run, fails or does not end."""
    words = os.environ | {"LC_ALL": "C"} | (environment or {})
    said = ""
    try:
        done = subprocess.run(
            command,
            cwd=folder,
            env=words,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            encoding="utf-8",
            errors="replace",
            timeout=PATIENCE,
            check=False,
        )
        said, failed = done.stdout, done.returncode != 0
        reason = f"ended with {done.returncode}"
    except (OSError, subprocess.TimeoutExpired) as error:
        failed, reason = True, str(error)
    if failed:
        lines = [line.strip() for line in said.splitlines() if line.strip()]
        telling = [line for line in lines if "error" in line.lower()] or lines or [reason]
        raise CompilerError(f"{shlex.join(command)}: {telling[0][:500]}")
    return said


def _load(path: Path) -> ctypes.CDLL:
    """The library in a file; through memory where the file system is mounted ``noexec``."""
    try:
        return ctypes.CDLL(str(path))
    except OSError:
        if not hasattr(os, "memfd_create"):
            raise
    with tempfile.TemporaryDirectory(prefix="mlpcore-") as folder, open(os.memfd_create("mlpcore"), "wb") as file:
        file.write(path.read_bytes())
        file.flush()
        # The loader takes a name that it has met for the same library, and descriptors are used again: a new name.
        link = Path(folder, "step.so")
        link.symlink_to(f"/proc/self/fd/{file.fileno()}")
        return ctypes.CDLL(str(link))
