"""StepDecay steps on the very update."""

import numpy as np
import pytest

from mlpcore.schedules import StepDecay


@pytest.mark.parametrize("every", [1, 3, 7, 41, 47, 49, 1000])
def test_steps_fall_on_the_very_update_in_float32(every):
    counts = every * np.concatenate([np.arange(1, 1000), np.arange(1000, 2**23 // every - 1, 101)])
    schedule = StepDecay(1.0, every, 1 - 1e-6)
    before, after = (schedule(c.astype("float32")) for c in (counts - 1, counts))
    later = schedule((counts + every - 1).astype("float32"))
    assert np.all(before > after) and np.array_equal(after, later)
