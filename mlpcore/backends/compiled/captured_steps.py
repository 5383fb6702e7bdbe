"""Steps of a device program, captured as one launch."""

import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any
from weakref import WeakSet

from mlpcore.compiler.cuda.bound import BoundDeviceProgram
from mlpcore.compiler.cuda.device import Device
from mlpcore.errors import MlpcoreWarning
from mlpcore.typing import Array

COUNTS = (16, 1)  # of steps in a launch; the largest that fits is taken
KEPT = 8  # captured steps of a group of networks
Step = Callable[[dict[Any, Array]], None]  # launches a step with the arrays of `Varying` by their keys


@dataclass(frozen=True)
class Varying:
    """What differs from step to step: an array (members, steps * length), by the ``key`` under which a step takes it.

    ``written`` says that the steps write it: their losses.
    """

    key: Any
    array: Array
    length: int
    written: bool = False

    def at(self, first: int, steps: int = 1) -> Array:
        """The entries of so many steps from number ``first`` on."""
        return self.array[:, first * self.length : (first + steps) * self.length]


class CapturedSteps:
    """``count`` steps as one launch.

    A captured step has fixed addresses. So what varies is copied to memory that stays in place, and losses from there.
    """

    def __init__(self, device: Device, varying: Sequence[Varying], step: Step, count: int) -> None:
        assert device.capture is not None
        self.device, self.count = device, count
        self.fixed = [
            Varying(one.key, self._empty(one.array.shape[0], count * one.length, one.array.dtype), one.length)
            for one in varying
        ]

        def steps() -> None:
            for i in range(count):
                step({one.key: one.at(i) for one in self.fixed})

        self.launch = device.capture(steps)

    def _empty(self, members: int, entries: int, dtype: Any) -> Array:
        return self.device.empty(members * entries, dtype).reshape(members, entries)

    def run(self, varying: Sequence[Varying], first: int) -> None:
        """Run the steps from number ``first`` on."""
        for one, fixed in zip(varying, self.fixed, strict=True):
            if not one.written:
                self.device.copy(one.at(first, self.count), fixed.array)
        self.launch()
        for one, fixed in zip(varying, self.fixed, strict=True):
            if one.written:
                self.device.copy(fixed.array, one.at(first, self.count))


class Captures:
    """The captured steps of a group of networks, by program, number of steps and addresses of the data."""

    def __init__(self, device: Device) -> None:
        self.device = device
        self.captured: dict[tuple, CapturedSteps | None] = {}
        self.warm = WeakSet[BoundDeviceProgram]()  # that have run

    def find(
        self, bound: BoundDeviceProgram, data: dict[Any, Array], varying: Sequence[Varying], step: Step, steps: int
    ) -> CapturedSteps | None:
        """At most so many steps as one launch; None where they are launched one by one.

        That is so the first time, as a program's kernels must be loaded before it is captured, and where it cannot be.
        """
        if self.device.capture is None:
            return None
        if bound not in self.warm:
            self.warm.add(bound)
            return None
        count = next(count for count in COUNTS if count <= steps)
        key = bound, count, *map(self.device.address, data.values())
        if key not in self.captured:
            while len(self.captured) >= KEPT:
                del self.captured[next(iter(self.captured))]
            self.captured[key] = self._capture(varying, step, count)
        return self.captured[key]

    def _capture(self, varying: Sequence[Varying], step: Step, count: int) -> CapturedSteps | None:
        try:
            return CapturedSteps(self.device, varying, step, count)
        except Exception as error:  # of CUDA, of CuPy or of cuBLAS: steps run without a capture too
            text = f"steps are launched one by one, as they cannot be captured: {error}"
            warnings.warn(text, MlpcoreWarning, stacklevel=2)
            return None
