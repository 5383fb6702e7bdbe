"""Times alternating runs: each is timed once in every round, so that drift affects all alike."""

import gc
import math
import time
from collections.abc import Callable, Mapping

Run = Callable[[int], None]  # repeats its work a number of times, and returns when the device has finished
MOST = 1 << 20  # limit of repetitions in a round


def alternate(runs: Mapping[str, Run], rounds: int, seconds: float) -> dict[str, list[float]]:
    """The seconds of one repetition of each run, a list over the rounds; a round takes about ``seconds`` for each run.

    One-time work such as compilation must have been done before. The order of the runs rotates from round to round.
    """
    times = {name: fitting(run, seconds) for name, run in runs.items()}
    samples: dict[str, list[float]] = {name: [] for name in runs}
    names = list(runs)
    for i in range(rounds):
        gc.collect()  # between the timed runs
        for name in names[i % len(names) :] + names[: i % len(names)]:
            samples[name].append(timed(runs[name], times[name]) / times[name])
    return samples


def timed(run: Run, times: int) -> float:
    """The seconds of a number of repetitions."""
    began = time.perf_counter()
    run(times)
    return time.perf_counter() - began


def repeat(function: Callable[[], object]) -> Run:
    """A run that calls ``function``."""

    def run(times: int) -> None:
        for _ in range(times):
            function()

    return run


def fitting(run: Run, seconds: float) -> int:
    """The number of repetitions that take about ``seconds``."""
    times, took = 1, timed(run, 1)
    while took < seconds / 4 and times < MOST:
        times = min(MOST, max(2 * times, math.ceil(times * seconds / 2 / max(took, 1e-9))))
        took = timed(run, times)
    return min(MOST, max(1, round(times * seconds / took)))
