"""The lists of cases cover every member, so that no member escapes the laws."""

import members

from mlpcore.initializers import INITIALIZERS
from mlpcore.layers import LAYERS
from mlpcore.losses import LOSSES
from mlpcore.optimizers import OPTIMIZERS
from mlpcore.schedules import SCHEDULES


def test_every_layer_has_a_case():
    assert {type(part) for make in members.LAYERS.values() for part in members.parts_of(make(4))} == set(LAYERS)
    assert {type(make(4)) for make in members.LAYERS.values()} == set(LAYERS), (
        "a case of its own, not only inside others"
    )


def test_every_loss_has_a_case():
    assert {type(loss) for loss, _ in members.LOSSES.values()} == set(LOSSES)


def test_every_optimizer_has_a_case():
    assert {type(optimizer) for optimizer in members.OPTIMIZERS.values()} == set(OPTIMIZERS)


def test_every_schedule_has_a_case():
    assert {type(schedule) for schedule in members.SCHEDULES.values()} == set(SCHEDULES)


def test_every_initializer_has_a_case():
    assert {type(initializer) for initializer in members.INITIALIZERS.values()} == set(INITIALIZERS)


def test_a_layer_with_statistics_says_that_it_mixes_rows():
    """Tiles and micro-batches rely on it: they cannot add up what parts observed."""
    for make in members.LAYERS.values():
        layer = make(4)
        params, *_ = members.layer_arrays(layer, 4, 2, "float64")
        if any(members.is_statistic(name) for name, _ in members.named_leaves(params)):
            assert not layer.row_independent
