"""A cache in which others have been at work: nothing of theirs is loaded, nothing is waited for."""

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from mlpcore.compiler import build as building
from mlpcore.compiler import cache
from mlpcore.compiler.build import build

CC = shutil.which("cc")
pytestmark = [pytest.mark.skipif(CC is None, reason="no C compiler cc"), pytest.mark.usefixtures("folder")]
TEXT = "int answer(void) { return 42; }\n"
OTHER = "int answer(void) { return 7; }\n"


@pytest.fixture
def compilations(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The texts that were compiled."""
    texts, compile_text = list[str](), building._compile

    def noted(text: str, compiler: object, place: Path) -> Path:
        texts.append(text)
        return compile_text(text, compiler, place)

    monkeypatch.setattr(building, "_compile", noted)
    return texts


def library_of(text: str, folder: Path) -> Path:
    """The only library in the cache, which is compiled now."""
    build(text)
    (path,) = folder.glob("*.so")
    return path


def replaced(path: Path, data: bytes) -> Path:
    """Other content under the key of a library, with the digest of that content in the name."""
    path.unlink()
    other = path.with_name(f"{path.name.partition('-')[0]}-{cache.digest(data)}.so")
    other.write_bytes(data)
    other.chmod(0o700)
    return other


def a_link(path: Path, data: bytes) -> None:
    target = path.parent.with_name("target.so")
    target.write_bytes(data)
    target.chmod(0o700)
    replaced(path, data).unlink()
    path.with_name(f"{path.name.partition('-')[0]}-{cache.digest(data)}.so").symlink_to(target)


def a_pipe(path: Path, data: bytes) -> None:
    path.unlink()
    os.mkfifo(path, 0o700)


def a_folder(path: Path, data: bytes) -> None:
    path.unlink()
    path.mkdir(mode=0o700)


def of_another_user(path: Path, data: bytes) -> None:
    if os.geteuid():
        pytest.skip("only root can give files away")
    os.chown(replaced(path, data), 12345, 12345)


def that_others_may_write(path: Path, data: bytes) -> None:
    replaced(path, data).chmod(0o722)


@pytest.mark.parametrize("plant", [a_link, a_pipe, a_folder, of_another_user, that_others_may_write])
def test_what_is_no_library_of_this_user_is_not_loaded(
    plant: Callable[[Path, bytes], None], folder: Path, compilations: list[str]
) -> None:
    path = library_of(OTHER, folder)
    data = path.read_bytes()
    path.unlink()
    plant(library_of(TEXT, folder), data)
    assert build(TEXT).answer() == 42 and compilations == [OTHER, TEXT, TEXT]


def test_a_library_of_this_user_is_loaded_by_its_name(folder: Path, compilations: list[str]) -> None:
    """So that the test above would see what is loaded; in one's own folder a name is believed."""
    path = library_of(OTHER, folder)
    data = path.read_bytes()
    path.unlink()
    replaced(library_of(TEXT, folder), data)
    assert build(TEXT).answer() == 7 and compilations == [OTHER, TEXT]


def test_what_is_checked_is_what_is_loaded(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Another file is put in its place after the check."""
    path = library_of(OTHER, folder)
    data = path.read_bytes()
    path.unlink()
    path, load = library_of(TEXT, folder), building._load
    if not os.path.exists(building.DESCRIPTORS):
        pytest.skip("no files by their numbers in /proc")

    def late(file: object) -> object:
        other = folder / "other"
        other.write_bytes(data)
        other.replace(path)
        return load(file)

    monkeypatch.setattr(building, "_load", late)
    assert build(TEXT).answer() == 42 and path.read_bytes() == data


def test_a_folder_that_is_exchanged_after_the_check(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = library_of(TEXT, folder)
    key = path.name.partition("-")[0]
    assert cache.open_library(key) is not None
    monkeypatch.setattr(cache, "refusal", lambda folder: None)
    folder.chmod(0o777)
    assert cache.open_library(key) is None and path.exists()
    if not os.geteuid():
        folder.chmod(0o700)
        os.chown(folder, 12345, 12345)
        assert cache.open_library(key) is None and path.exists()


@pytest.mark.parametrize("what", ["another processor", "short", "no library"])
def test_a_library_that_cannot_be_loaded_is_built_once(what: str, folder: Path, compilations: list[str]) -> None:
    """Its name has the digest of its content, so nothing but the loader refuses it."""
    path = library_of(TEXT, folder)
    data = path.read_bytes()
    machine = data[:18] + b"\x08\x00" + data[20:]  # e_machine of ELF: MIPS
    replaced(path, {"another processor": machine, "short": data[:40], "no library": b"text"}[what])
    assert [build(TEXT).answer() for _ in range(3)] == [42] * 3
    assert compilations == [TEXT, TEXT] and len(list(folder.glob("*.so"))) == 1


def test_zigs_folder_is_not_one_that_others_have_made(folder: Path) -> None:
    place = cache.zig_folder()
    assert place == folder / cache.ZIG
    place.chmod(0o777)
    assert cache.zig_folder() is None
    place.rmdir()
    place.symlink_to(folder.parent)
    assert cache.zig_folder() is None


def test_many_libraries_through_one_descriptor_are_many(folder: Path) -> None:
    answers = [build(TEXT.replace("42", str(number))).answer() for number in range(9)]
    assert answers == list(range(9))
