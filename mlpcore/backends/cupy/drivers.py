"""Why a CuPy wheel finds no device: no driver, a driver that is too old, hidden devices, or two CuPy wheels."""

from typing import NamedTuple

OLDEST = 12000  # CUDA 12.0, for which the oldest of the extras is
HIDING = ("CUDA_VISIBLE_DEVICES", "HIP_VISIBLE_DEVICES", "ROCR_VISIBLE_DEVICES")


class Situation(NamedTuple):
    """The facts that are known without a device.

    ``wheels`` names the installed CuPy wheels. ``said`` is the runtime's error when it was asked for its devices.
    ``driver`` and ``runtime`` are the CUDA versions of both, 12040 for 12.4, 0 for none. ``hidden`` holds those
    environment variables of `HIDING` that are set.
    """

    wheels: str
    said: str
    driver: int
    runtime: int
    hidden: dict[str, str]


def cause_and_remedy(situation: Situation) -> tuple[str, str]:
    """The likeliest cause, and what to do about it, as texts."""
    said, driver, runtime, hidden = situation.said, situation.driver, situation.runtime, situation.hidden
    if " and " in situation.wheels:
        return said, "uninstall all but one of them"
    for name, value in hidden.items():
        if value.strip() in ("", "-1"):
            return f"{name}={value!r} hides every device ({said})", f"unset {name} or name a device in it"
    other = "or use backend='numpy'"
    if not driver:
        return f"there is no driver ({said})", f"install the GPU's driver, see whether nvidia-smi lists it, {other}"
    if driver // 1000 < runtime // 1000:
        fits = "uninstall the wheel and pip install 'mlpcore[cuda12]', or " if driver >= OLDEST else ""
        return (
            f"the driver is for CUDA {version(driver)}, the wheel for {version(runtime)} ({said})",
            f"{fits}install a newer driver (nvidia-smi shows the installed one), {other}",
        )
    seen = " and ".join(f"{name}={value!r}" for name, value in hidden.items())
    parts = (
        " of its parts, which nvidia-smi -L lists" if any(value.startswith("MIG-") for value in hidden.values()) else ""
    )
    also = f" and whether {seen} names one{parts}" if seen else ""
    return said, f"see whether nvidia-smi lists a GPU{also}, {other}"


def version(number: int) -> str:
    """``12.4`` for 12040."""
    return f"{number // 1000}.{number % 1000 // 10}"
