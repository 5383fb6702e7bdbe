"""Building and the cache of libraries: what is compiled when, from where it is loaded, that nothing here fails."""

import ctypes
import errno
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from mlpcore.cli import main
from mlpcore.compiler import build as building
from mlpcore.compiler import cache
from mlpcore.compiler.build import CompilerError, build, find_compiler

CC = shutil.which("cc")
pytestmark = [pytest.mark.skipif(CC is None, reason="no C compiler cc"), pytest.mark.usefixtures("folder")]
TEXT = "int answer(void) { return 42; }\n"
DAY = 86400


@pytest.fixture
def compilations(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[], int]:
    """How often the compiler was called: a script that counts stands before it."""
    log, script = tmp_path / "log", tmp_path / "counting"
    log.touch()
    script.write_text(f'#!/bin/sh\necho called >> {log}\nexec {CC} "$@"\n')
    script.chmod(0o700)
    monkeypatch.setenv("CC", str(script))
    return lambda: len(log.read_text().splitlines())


def answer(text: str = TEXT) -> int:
    return build(text).answer()


def kept(folder: Path) -> list[Path]:
    return sorted(folder.glob("*.so"))


def test_a_text_is_compiled_once_and_kept_for_this_user_only(folder: Path, compilations: Callable[[], int]) -> None:
    assert [answer(), answer(), answer()] == [42] * 3 and compilations() == 1
    (library,) = kept(folder)
    assert (folder.stat().st_mode & 0o777, library.stat().st_mode & 0o777) == (0o700, 0o700)
    assert {path.stat().st_mode & 0o077 for path in folder.iterdir()} == {0}


@pytest.mark.parametrize("what", ["text", "flags", "processor", "version", "arguments", "compiler"])
def test_whatever_a_library_depends_on_has_it_compiled_anew(
    what: str, compilations: Callable[[], int], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert answer() == 42
    script, text = os.environ["CC"], TEXT
    if what == "text":
        text += "// changed\n"
    elif what == "flags":
        monkeypatch.setattr(building, "FLAGS", (*building.FLAGS, "-O1"))
    elif what == "processor":
        monkeypatch.setattr(building, "processor", lambda: "another")
    elif what == "version":
        monkeypatch.setattr("mlpcore.__version__", "another")
    elif what == "arguments":
        monkeypatch.setenv("CC", f"{script} -DOTHER")
    else:
        os.utime(script, (1, 1))
    assert answer(text) == 42 and compilations() == 2


@pytest.mark.parametrize("damage", ["empty", "half", "one bit", "too long"])
def test_a_damaged_library_is_not_loaded_and_is_built_anew(
    damage: str, folder: Path, compilations: Callable[[], int]
) -> None:
    answer()
    (library,) = kept(folder)
    whole = library.read_bytes()
    flipped = whole[:5000] + bytes([whole[5000] ^ 1]) + whole[5001:]
    library.write_bytes({"empty": b"", "half": whole[:7000], "one bit": flipped, "too long": whole + b"\0"}[damage])
    assert answer() == 42 and compilations() == 2
    assert library.read_bytes() == whole
    assert answer() == 42 and compilations() == 2


def test_six_processes_at_once_make_one_library(folder: Path) -> None:
    script = f"from mlpcore.compiler.build import build; print(build({TEXT!r}).answer())"
    running = [subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE) for _ in range(6)]
    assert [process.communicate()[0] for process in running] == [b"42\n"] * 6
    assert len(kept(folder)) == 1 and not list(folder.glob("*.tmp"))


def others_may_write(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder.mkdir()
    folder.chmod(0o777)


def a_group_may_write(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder.mkdir()
    folder.chmod(0o770)


def another_user_owns_it(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    if os.geteuid() == 0:
        folder.mkdir(mode=0o700)
        os.chown(folder, 12345, 12345)
    else:
        monkeypatch.setenv("MLPCORE_CACHE_DIR", "/")


def others_may_replace_it(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder.parent.chmod(0o777)


def a_link_to_such_a_folder(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    target = folder.with_name("open") / "target"
    target.mkdir(parents=True)
    others_may_replace_it(target, monkeypatch)
    folder.symlink_to(target)


def a_file_stands_there(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder.touch()


def links_in_a_circle(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder.symlink_to(folder)


def it_is_read_only(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder.mkdir(mode=0o700)
    folder.chmod(0o500)
    if os.geteuid() == 0:  # who may write everywhere: as other users have it
        monkeypatch.setattr(os, "access", lambda path, mode: not mode & os.W_OK)


def nowhere(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLPCORE_CACHE_DIR", "/proc/mlpcore")


def no_home(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As for a user whom the list of users does not have."""
    for name in ("MLPCORE_CACHE_DIR", "HOME", "XDG_CACHE_HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.chdir(folder.parent)
    monkeypatch.setattr(os.path, "expanduser", lambda path: path)


def no_home_as_platformdirs_once_had_it(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MLPCORE_CACHE_DIR")
    monkeypatch.chdir(folder.parent)
    monkeypatch.setattr("platformdirs.user_cache_path", lambda name: Path("~/.cache/mlpcore"))


def a_fault_of_the_platform(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MLPCORE_CACHE_DIR")
    monkeypatch.setattr("platformdirs.user_cache_path", lambda name: 1 / 0)


BAD = [others_may_write, a_group_may_write, another_user_owns_it, others_may_replace_it, a_link_to_such_a_folder]
BAD += [a_file_stands_there, links_in_a_circle, it_is_read_only, nowhere, no_home]
BAD += [no_home_as_platformdirs_once_had_it, a_fault_of_the_platform]


@pytest.mark.parametrize("situation", BAD)
def test_a_folder_that_cannot_be_trusted_or_written_is_not_used(
    situation: Callable[[Path, pytest.MonkeyPatch], None],
    folder: Path,
    compilations: Callable[[], int],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A private one takes its place until the process ends."""
    situation(folder, monkeypatch)
    before = sorted(folder.parent.rglob("*"))
    used = cache.folder()
    assert used is not None and folder.parent not in used.parents and used.stat().st_mode & 0o777 == 0o700
    text = f"{TEXT}// {situation.__name__} {time.time()}\n"
    assert (answer(text), answer(text), compilations()) == (42, 42, 1)
    assert sorted(folder.parent.rglob("*")) in (before, sorted([*before, folder]))
    assert not folder.is_dir() or not list(folder.iterdir())


def test_a_library_that_others_may_change_is_not_loaded(folder: Path, compilations: Callable[[], int]) -> None:
    answer()
    kept(folder)[0].chmod(0o777)
    assert answer() == 42 and compilations() == 2


@pytest.mark.parametrize("function", ["mlpcore.temporary._new_file", "os.replace", "os.fsync"])
def test_a_full_disk_keeps_nothing_and_leaves_nothing(
    function: str, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*args: Any, **words: Any) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(function, full)
    assert answer() == 42
    monkeypatch.undo()
    assert not list(folder.glob("*.so")) and not list(folder.glob("*.tmp"))


def test_nowhere_to_write_at_all_is_one_error(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tempfile.tempdir", "/proc/mlpcore")
    nowhere(folder, monkeypatch)
    cache._private.cache_clear()
    assert cache.folder() is None and cache.usage() == (0, 0)
    with pytest.raises(CompilerError, match="No such file"):
        build(TEXT)
    cache._private.cache_clear()


def run_python(script: str, **environment: str) -> str:
    words = {"PATH": os.environ["PATH"], "PYTHONPATH": os.pathsep.join(sys.path)} | environment
    return subprocess.run(
        [sys.executable, "-c", script], env=words, capture_output=True, text=True, check=True
    ).stdout.strip()


def test_an_empty_environment_is_enough(tmp_path: Path) -> None:
    script = f"from mlpcore.compiler.build import build; print(build({TEXT!r}).answer())"
    assert run_python(script, XDG_CACHE_HOME=str(tmp_path / "user")) == "42"
    assert run_python(script) == "42"
    assert len(list((tmp_path / "user" / "mlpcore").glob("*.so"))) == 1


def test_the_private_folder_goes_with_the_process_that_made_it() -> None:
    """A child after a fork has one of its own, and ends without taking its parent's away."""
    script = """if True:
        import os, sys
        from mlpcore.compiler import cache
        mine = cache.folder()
        child = os.fork()
        if not child:
            print(cache.folder(), cache.folder().is_dir(), flush=True)
            sys.exit(0)
        os.waitpid(child, 0)
        print(mine, mine.is_dir())"""
    (child, childs), (parent, parents) = map(str.split, run_python(script, MLPCORE_CACHE_DIR="/proc/x").splitlines())
    assert child != parent and childs == parents == "True"
    assert not Path(child).exists() and not Path(parent).exists()


def test_a_file_system_mounted_noexec_is_passed_by_memory(
    folder: Path, compilations: Callable[[], int], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every library is its own, though descriptors are used again."""
    texts = [TEXT.replace("42", str(number)) for number in range(3)]
    assert [answer(text) for text in texts] == [0, 1, 2]
    true = ctypes.CDLL

    def loader(name: str) -> ctypes.CDLL:
        if str(folder) in os.path.realpath(name):
            raise OSError(f"{name}: failed to map segment from shared object")
        return true(name)

    monkeypatch.setattr(ctypes, "CDLL", loader)
    assert [answer(text) for text in texts] == [0, 1, 2] and compilations() == 3


def test_a_folder_that_is_mounted_noexec(tmp_path: Path) -> None:
    script = f"from mlpcore.compiler.build import build; print([build({TEXT!r}).answer() for _ in range(2)])"
    mount = f"mount -t tmpfs -o noexec tmpfs {tmp_path} && cp {shutil.which('true')} {tmp_path} && ! {tmp_path}/true"
    unshare = [*("unshare", "--user", "--map-root-user", "--mount", "sh", "-c")]
    if not shutil.which("unshare") or subprocess.run([*unshare, mount], capture_output=True, check=False).returncode:
        pytest.skip("the system lets this user mount nothing")
    words = os.environ | {"MLPCORE_CACHE_DIR": f"{tmp_path}/cache", "TMPDIR": str(tmp_path)}
    command = [*unshare, f'{mount} 2>/dev/null; "$@" && ls {tmp_path}/cache', "sh", sys.executable, "-c", script]
    said = subprocess.run(command, env=words, capture_output=True, text=True, check=True).stdout
    assert said.startswith("[42, 42]") and said.count(".so") == 1


def test_cc_may_hold_arguments(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CC", f"{CC} -DNUMBER=7 '-DOTHER=(1 + 2)'")
    assert answer("int answer(void) { return NUMBER * OTHER; }") == 21


@pytest.mark.parametrize(
    ("cc", "text", "message"),
    [
        ("false", TEXT, "false -O2 .*: ended with 1$"),
        (f"{CC} --no-such-flag", TEXT, "cc --no-such-flag .*: .*no-such-flag"),
        (CC, "int answer(void) { return 42 }", "/cc -O2 .*step.c:1:29: error: expected"),
        ("no-such-compiler -x", TEXT, "CC names, 'no-such-compiler -x', is not found$"),
        ("cc 'open", TEXT, "is not found$"),
    ],
)
def test_a_compiler_that_fails_is_one_error_of_one_line(
    cc: str, text: str, message: str, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CC", cc)
    with pytest.raises(CompilerError, match=message) as raised:
        build(text)
    assert "\n" not in str(raised.value) and not kept(folder)


def test_a_compiler_that_does_not_end_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(building, "TIMEOUT", 0.1)
    monkeypatch.setenv("CC", "sh -c 'exec sleep 60' --")
    with pytest.raises(CompilerError, match="timed out"):
        build(TEXT)


def test_the_order_in_which_compilers_are_looked_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """CC, cc, gcc, clang, the package ziglang, none."""
    path, packages = tmp_path / "bin", tmp_path / "packages"
    for name in ("bin/mine", "bin/cc", "bin/gcc", "bin/clang", "packages/ziglang/zig"):
        program = tmp_path / name
        program.parent.mkdir(exist_ok=True, parents=True)
        program.write_text("#!/bin/sh\n")
        program.chmod(0o700)
    (packages / "ziglang" / "__init__.py").touch()
    building._find.cache_clear()
    with monkeypatch.context() as without:
        without.setattr(building, "find_spec", lambda name: None)
        without.setenv("PATH", str(path))
        without.setenv("CC", "mine -x")
        assert find_compiler() == ((str(path / "mine"), "-x"), "mine -x")
        without.setenv("CC", "")
        for name in building.NAMES:
            assert find_compiler() == ((str(path / name),), name)
            (path / name).unlink()
            building._find.cache_clear()
        assert find_compiler() is None
        with pytest.raises(CompilerError, match="none of cc, gcc, clang in PATH, and no package ziglang"):
            build(TEXT)
    building._find.cache_clear()
    monkeypatch.setenv("PATH", str(path))
    monkeypatch.syspath_prepend(str(packages))
    assert find_compiler() == ((str(packages / "ziglang" / "zig"), "cc"), "zig")


def test_zig_keeps_what_it_needs_in_the_folder(tmp_path: Path, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    script = tmp_path / "zig"
    script.write_text(f'#!/bin/sh\nshift\necho "$ZIG_GLOBAL_CACHE_DIR" > {tmp_path}/said\nexec {CC} "$@"\n')
    script.chmod(0o700)
    monkeypatch.setattr(building, "find_compiler", lambda: building.Compiler((str(script), "cc"), "zig"))
    assert answer() == 42
    assert (tmp_path / "said").read_text().strip() == str(folder / cache.ZIG) and (folder / cache.ZIG).is_dir()


def age(path: Path, days: float) -> None:
    os.utime(path, (time.time() - days * DAY,) * 2)


def test_what_was_not_used_for_thirty_days_is_removed_when_a_library_is_kept(folder: Path) -> None:
    """At most once a day; whatever else lies in the folder stays."""
    answer()
    (old,) = kept(folder)
    part, notes, foreign = (folder / name for name in ("mlpcore-part.1.tmp", "notes.txt", "libother.so"))
    for path in (part, notes, foreign):
        path.touch()
    for path in (old, part, notes, foreign):
        age(path, 31)
    answer(TEXT + "// second\n")
    assert old.exists() and part.exists()
    age(folder / "mlpcore-pruned", 1.1)
    answer(TEXT + "// third\n")
    assert not old.exists() and not part.exists() and notes.exists() and foreign.exists()
    assert len(kept(folder)) == 3  # two, and the foreign one


def test_a_use_renews_a_library_once_a_day(folder: Path) -> None:
    answer()
    (library,) = kept(folder)
    for days, renewed in ((29, True), (0.5, False)):
        age(library, days)
        before = library.stat().st_mtime
        answer()
        assert (library.stat().st_mtime > before + 60) is renewed


def test_the_command_shows_and_clears(
    folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """What others have put there stays, even under a name like zig's."""
    answer()
    answer(TEXT + "// second\n")
    for name in (cache.ZIG, "zig"):
        (folder / name / "h").mkdir(parents=True)
        (folder / name / "h" / "x").write_bytes(bytes(3_000_000))
    (folder / "notes.so").touch()
    assert main(["cache"]) == 0
    said = capsys.readouterr().out
    assert f"folder     {folder}\n" in said and "libraries  2\n" in said and "size       3.0 MB\n" in said
    assert f"compiler   {CC} (" in said
    assert main(["cache", "clear"]) == 0
    assert "libraries  0\n  size       0.0 MB\n" in capsys.readouterr().out
    assert sorted(path.name for path in folder.iterdir()) == ["notes.so", "zig"]
    monkeypatch.setenv("CC", "no-such-compiler")
    folder.chmod(0o777)
    assert main(["cache", "show"]) == 0
    said = capsys.readouterr().out
    assert "(not used: other users may write there)" in said and "'no-such-compiler', is not found" in said


def test_the_command_without_a_home(
    folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    no_home(folder, monkeypatch)
    assert main(["cache"]) == 0
    assert "(not used: the user has no home directory)" in capsys.readouterr().out


def test_the_flags_of_gcc_are_for_gcc() -> None:
    """What is called cc here may be GCC; after zig the word is an argument, and that clang knows no such flag."""
    assert not building._is_gcc(building.Compiler((sys.executable, "-m", "ziglang", "cc"), "zig"))
    assert not building._is_gcc(building.Compiler(("/opt/zig", "cc"), "zig"))
    assert building._is_gcc(building.Compiler(("/usr/bin/gcc",), "gcc")) == (sys.platform != "darwin")
