"""Why a CuPy wheel finds no device: no driver, one that is too old, none that is visible, two wheels at once."""

from typing import NamedTuple

OLDEST = 12000  # the CUDA of the oldest wheel there is an extra for
HIDING = ("CUDA_VISIBLE_DEVICES", "HIP_VISIBLE_DEVICES", "ROCR_VISIBLE_DEVICES")


class Situation(NamedTuple):
    """What can be asked without a device: versions as CUDA counts them (12040 for 12.4), 0 for no driver.

    ``said`` is what the runtime answered when it was asked for its devices, ``hidden`` the variables among `HIDING`
    that are set.
    """

    wheels: str
    said: str
    driver: int
    runtime: int
    hidden: dict[str, str]


def cause_and_remedy(now: Situation) -> tuple[str, str]:
    """The likeliest cause, and what to do about it."""
    if " and " in now.wheels:
        return now.said, "uninstall all but one of them"
    for name, value in now.hidden.items():
        if value.strip() in ("", "-1"):
            return f"{name}={value!r} hides every device ({now.said})", f"unset {name} or name a device in it"
    other = "or use backend='numpy'"
    if not now.driver:
        return f"there is no driver ({now.said})", f"install the GPU's driver, see whether nvidia-smi lists it, {other}"
    if now.driver // 1000 < now.runtime // 1000:
        fits = "uninstall the wheel and pip install 'mlpcore[cuda12]', or " if now.driver >= OLDEST else ""
        return (
            f"the driver is for CUDA {version(now.driver)}, the wheel for {version(now.runtime)} ({now.said})",
            f"{fits}install a newer driver (nvidia-smi names the one there is), {other}",
        )
    seen = " and ".join(f"{name}={value!r}" for name, value in now.hidden.items())
    also = f" and whether {seen} names one" if seen else ""
    return now.said, f"see whether nvidia-smi lists a GPU{also}, {other}"


def version(number: int) -> str:
    """``12.4`` for 12040."""
    return f"{number // 1000}.{number % 1000 // 10}"
