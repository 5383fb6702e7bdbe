"""Fits that are killed at random moments and resumed: nothing is lost, and nothing is left behind.

With ``--long`` 200 kills by SIGKILL and 50 by SIGTERM; six in the normal run. `kills` repeats them from a command line.
"""

import json
import signal

import numpy as np
import pytest
from devices import open_place
from kill_jobs import JOBS, compiled, plain, rows_on_disk, rules_within_epochs, stack, with_rules
from kills import kill_many, killed, reference, same
from processes import needs_fork, output, start

pytestmark = needs_fork


def assert_nothing_lost(seed: int, kills: int, how: int = signal.SIGKILL, jobs: list = JOBS) -> None:
    """Every fit ends with the bits of one that nobody killed, and no temporary file remains."""
    tally = kill_many(jobs, seed, kills, how)
    assert not tally.different and not tally.left, tally.text()
    print(tally.text())


def test_some_kills() -> None:
    assert_nothing_lost(0, 6, jobs=[compiled, rules_within_epochs, rows_on_disk])


@pytest.mark.long
@pytest.mark.parametrize(("how", "kills"), [(signal.SIGKILL, 200), (signal.SIGTERM, 50)])
def test_many_kills(how: int, kills: int) -> None:
    assert_nothing_lost(int(how), kills, how)


@pytest.mark.long
@pytest.mark.parametrize("backends", [("numpy", "array_api_strict"), ("array_api_strict", "numpy")])
def test_resuming_on_another_backend_agrees_to_rounding(backends: tuple[str, str]) -> None:
    random = np.random.default_rng(2)
    for job in (plain, with_rules, rows_on_disk, stack):
        expected = reference(job)
        for _ in range(4):
            ended = killed(job, expected.seconds, random, backends=backends)
            assert same(ended.result, expected.result, 1e-9), (job.__name__, ended.phases)
            assert not ended.left


@pytest.mark.gpu
@pytest.mark.parametrize("kills", [4, pytest.param(40, marks=pytest.mark.long)])
def test_kills_on_a_device(kills: int) -> None:
    """In a process that has not used CUDA before it forks."""
    open_place("cupy")
    lines = f"import kills, kill_jobs; print(kills.kill_many(kill_jobs.ON_A_DEVICE, 5, {kills}).text())"
    figures = json.loads(output(start(lines)))
    assert figures["kills"] >= kills and not figures["different"] and not figures["files left"], figures
