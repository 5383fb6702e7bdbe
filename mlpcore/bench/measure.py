"""Times of runs that take turns: in every round each one is timed once, so that what drifts hits all alike."""

import gc
import math
import time
from collections.abc import Callable, Mapping

Run = Callable[[int], None]  # do it so many times, and come back when the device is done
MOST = 1 << 20  # times in a round


def alternate(runs: Mapping[str, Run], rounds: int, seconds: float) -> dict[str, list[float]]:
    """Seconds for one time of each run, a list over the rounds; a round takes about ``seconds`` for each run.
    What runs only the first time, such as compilation, must have been done.

    The order of the turns moves on by one from round to round, so that nobody always comes after the same one.
    """
    times = {name: fitting(run, seconds) for name, run in runs.items()}
    taken: dict[str, list[float]] = {name: [] for name in runs}
    names = list(runs)
    for i in range(rounds):
        gc.collect()  # not within somebody's turn
        for name in names[i % len(names) :] + names[: i % len(names)]:
            taken[name].append(timed(runs[name], times[name]) / times[name])
    return taken


def timed(run: Run, times: int) -> float:
    """Seconds that so many times take."""
    began = time.perf_counter()
    run(times)
    return time.perf_counter() - began


def repeat(function: Callable[[], object]) -> Run:
    """The run that calls ``function``."""

    def run(times: int) -> None:
        for _ in range(times):
            function()

    return run


def fitting(run: Run, seconds: float) -> int:
    """How many times fill ``seconds``."""
    times, took = 1, timed(run, 1)
    while took < seconds / 4 and times < MOST:
        times = min(MOST, max(2 * times, math.ceil(times * seconds / 2 / max(took, 1e-9))))
        took = timed(run, times)
    return min(MOST, max(1, round(times * seconds / took)))
