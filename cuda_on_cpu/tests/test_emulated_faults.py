"""Each fault of faulty.py fails its own test, in the modes that detect it, and no other test."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

MODES = {
    "plain": {},
    "no pool": {"POOL": "0"},
    "fence": {"POOL": "0", "FENCE": "1"},
    "lazy": {"LAZY": "1"},
    "races": {"POOL": "0", "RACES": "1"},
    "backward": {"BACKWARD": "1"},
    "two devices": {"DEVICES": "2"},
}
# A part of the message with which a fault's test fails, in every mode or in the named ones; "assert": a wrong number.
EVERYWHERE = {
    "missing_barrier_seen_forward": "assert",
    "freed_twice": "is not an allocation",
    "null_pointer": "illegal access",
    "copy_in_the_wrong_direction": "is memory of the device",
    "copy_beyond_an_allocation": "leave their allocation",
    "product_beyond_an_allocation": "leave their allocation",
    "barriers_that_differ": "wait at different barriers",
    "shuffle_outside_of_its_mask": "not in its own mask",
    "shuffle_from_a_lane_that_gave_nothing": "assert",
    "beyond_shared_memory": "beyond dynamic shared memory",
    "too_many_threads": "threads are not allowed",
    "more_threads_than_launch_bounds": "__launch_bounds__ says 32",
    "too_much_shared_memory": "bytes of shared memory",
    "division_by_zero": "division by zero",
    "assertion": "an assertion is false",
    "not_emulated": "cudaMallocManaged is not emulated",
    "allocation_in_a_capture": "while a stream is being captured",
    "default_stream_in_a_capture": "while a stream is being captured",
}
NO_POOL = ("no pool", "fence", "races")
SOMEWHERE = {
    "write_after_an_array": dict.fromkeys(NO_POOL, "memory after the 800 bytes") | {"fence": "illegal access"},
    "write_before_an_array": dict.fromkeys(NO_POOL, "memory before the 800 bytes"),
    "read_after_an_array": {"no pool": "assert", "races": "assert", "fence": "illegal access"},
    "fresh_memory_taken_for_zeros": dict.fromkeys(NO_POOL, "assert"),
    "use_after_free": {"fence": "illegal access"},
    "pinned_buffer_is_written_too_early": {"lazy": "assert"},
    "missing_barrier_seen_backward": {"backward": "assert"},
    "stream_that_does_not_wait": {"lazy": "assert", "races": "race: "},
    "host_that_does_not_wait": {"lazy": "assert"},
    "another_devices_memory": {"two devices": "memory of device 1 in a kernel on device 0"},
    "another_devices_stream": {"two devices": "on a stream of device 1 while device 0"},
}
# With the pool, arrays lie in memory that others have used: these faults are detected only by chance.
BY_CHANCE = ("write_before_an_array", "read_after_an_array", "fresh_memory_taken_for_zeros")
RIGHT = ("right_barrier", "right_stream_that_waits", "right_two_devices")


def failures(mode: str) -> dict[str, str]:
    """The message of each test of faulty.py in a mode, "" if it passed."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("CUDA_ON_CPU_")}
    environment |= {f"CUDA_ON_CPU_{name}": value for name, value in MODES[mode].items()}
    file = Path(__file__).with_name("faulty.py")
    words = ["-q", "-rA", "-p", "no:cacheprovider", "--tb=line", "--color=no", str(file)]
    result = subprocess.run(
        [sys.executable, "-m", "pytest", *words], env=environment | {"COLUMNS": "400"}, capture_output=True, text=True
    )
    lines = re.findall(r"^(PASSED|FAILED|ERROR) \S+::test_(\w+)(?: - (.*))?$", result.stdout, re.MULTILINE)
    assert lines, result.stdout[-2000:] + result.stderr[-2000:]
    return {name: "" if how == "PASSED" else f"{how}: {why}" for how, name, why in lines}


@pytest.mark.parametrize("mode", MODES)
def test_faults_fail_their_own_test_and_no_other(mode: str) -> None:
    found = failures(mode)
    expected = EVERYWHERE | {name: modes.get(mode, "") for name, modes in SOMEWHERE.items()} | dict.fromkeys(RIGHT, "")
    assert found.keys() == expected.keys()
    wrong = {
        name: (found[name], why)
        for name, why in expected.items()
        if (bool(found[name]) != bool(why) or why not in found[name])
        and not (name in BY_CHANCE and mode not in NO_POOL)
    }
    assert not wrong, wrong
