"""Schedules that rise and fall several times."""

import math

from mlpcore.configuration import check_count, check_number, configuration
from mlpcore.namespace import namespace
from mlpcore.typing import Array


@configuration
class CosLog:
    """Cosine cycles, each about twice as long as the one before: ``peak (1 - cos(2 pi log2 v)) / 2``.

    ``v = 1 + (2^cycles - 1) count / steps`` grows from 1 to ``2^cycles``. Cycle k begins where v is ``2^k``, with rate
    0, reaches ``peak`` and ends with rate 0. From ``count = steps`` on the rate is 0.

    "coslog" of Holzmüller, Grinsztajn & Steinwart (2024), "Better by default: strong pre-tuned MLPs and boosted trees
    on tabular data", sec. 3.
    """

    peak: float
    steps: int
    cycles: int = 4

    def __post_init__(self) -> None:
        check_number(self, peak=self.peak, above=0)
        check_count(self, steps=self.steps, cycles=self.cycles)

    def __call__(self, count: Array) -> Array:
        """The rate after ``count`` updates.

        ``(1 - cos(2 pi log2 v)) / 2 = sin(pi log2(v / 2^k))^2`` for every whole k; taken is the k that is nearest to
        ``log2 v``, and ``v / 2^k - 1`` from the distance to the count at which it is 0, which keeps its digits there.
        """
        xp, growth = namespace(count), 2.0**self.cycles - 1
        count = xp.minimum(count, float(self.steps))
        distance = count * (growth / self.steps)
        for k in range(1, self.cycles + 1):
            zero = self.steps * (2.0**k - 1) / growth
            whole = float(round(zero))
            nearest = count > self.steps * (2.0 ** (k - 0.5) - 1) / growth
            distance = xp.where(nearest, ((count - whole) - (zero - whole)) * (growth / self.steps / 2.0**k), distance)
        wave = xp.sin((math.pi / math.log(2)) * xp.log1p(distance))
        return self.peak * (wave * wave)
