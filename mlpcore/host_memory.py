"""The memory that this process can have at most, and the refusal of what needs more for certain.

Linux promises more memory than there is and ends a process that uses it, so what cannot fit is refused before it is
allocated. A request is compared with all memory, not with what is free: other programs may end or be swapped out.
"""

from collections.abc import Iterator
from pathlib import Path

from mlpcore.errors import OutOfMemoryError
from mlpcore.memory import HOST, MoreThanThereIs, size
from mlpcore.signals import signals_pass

SMALL = 64 << 20  # bytes that are never refused, so that small requests cost no time
UNLIMITED = 1 << 62  # bytes; a limit of a control group above this is none
CGROUPS, PROC = Path("/sys/fs/cgroup"), Path("/proc")


def refuse(what: str, needed: int, remedy: str) -> None:
    """OutOfMemoryError if ``what`` needs more bytes than the host can give; the ``remedy`` says what to do.

    ``needed`` must be a lower bound: what is refused would fail, or be ended by the system.
    """
    try:
        check(needed)
    except MoreThanThereIs as error:
        raise OutOfMemoryError(
            f"out of memory on {HOST}: {what}, which is {size(needed)}, and this process can have at most "
            f"{size(error.most)}. Nothing was changed; {remedy}"
        ) from None


def check(needed: int) -> None:
    """`MoreThanThereIs` if so many bytes cannot be had; ``needed`` is a lower bound, as of `refuse`."""
    if needed > SMALL and (most := host_memory()) is not None and needed > most:
        raise MoreThanThereIs(needed, most)


@signals_pass()
def host_memory() -> int | None:
    """Memory and swap of this machine in bytes, or less by a control group or ``ulimit -v``; None where unknown.

    It is known on Linux only: elsewhere swap grows as it is needed.
    """
    try:
        facts = dict(line.split(":", 1) for line in (PROC / "meminfo").read_text().splitlines())
        memory, swap = (int(facts[name].split()[0]) << 10 for name in ("MemTotal", "SwapTotal"))
    except (OSError, KeyError, ValueError):
        return None
    return min([memory + swap, *_of_groups(swap), *_of_process()])


def _of_process() -> Iterator[int]:
    """The limit of this process's address space, if it has one."""
    import resource  # here, as Windows has no such module

    limit = resource.getrlimit(resource.RLIMIT_AS)[0]
    if limit != resource.RLIM_INFINITY:
        yield limit


def _of_groups(swap: int) -> Iterator[int]:
    """The limits of this process's control groups, their parents' among them; ``swap`` is the machine's."""
    try:
        lines = (PROC / "self/cgroup").read_text().splitlines()
    except OSError:
        return
    for line in lines:
        _, controllers, name = line.split(":", 2)
        if "memory" not in controllers.split(",") and controllers:
            continue
        folder = CGROUPS / "memory" if controllers else CGROUPS
        for group in (folder / name.strip("/"), *(folder / name.strip("/")).parents):
            if not group.is_relative_to(folder):
                break
            if controllers:  # version 1, whose second limit includes swap
                memory, total = _number(group / "memory.limit_in_bytes"), _number(group / "memory.memsw.limit_in_bytes")
                yield min(memory + swap, total)
            else:
                yield _number(group / "memory.max") + min(swap, _number(group / "memory.swap.max"))


def _number(path: Path) -> int:
    """The limit in a file of a control group; `UNLIMITED` where there is none."""
    try:
        return min(int(path.read_text()), UNLIMITED)
    except (OSError, ValueError):  # "max" is no number
        return UNLIMITED
