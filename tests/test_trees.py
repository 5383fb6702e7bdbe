"""Trees, and the layout that makes parameters views into one flat vector."""

from typing import NamedTuple

import numpy as np
import pytest
from libraries import NUMPY
from members import LAYERS, TRAINED, layer_arrays

from mlpcore.trees import ALIGNMENT, Layout, Slot, is_statistic, leaf_key, named_leaves, tree_map


class Pair(NamedTuple):
    first: object
    second: object


TREE = ({"weight": 1, "bias": 2}, (), {}, ({"gain": 3}, Pair(4, {"a": (5,)})))


def test_named_leaves_go_depth_first():
    expected = {"0.weight": 1, "0.bias": 2, "3.0.gain": 3, "3.1.0": 4, "3.1.1.a.0": 5}
    assert list(named_leaves(TREE)) == list(expected.items())


def test_tree_map_keeps_the_structure():
    doubled = ({"weight": 2, "bias": 4}, (), {}, ({"gain": 6}, Pair(8, {"a": (10,)})))
    assert tree_map(lambda x: 2 * x, TREE) == doubled
    assert tree_map(lambda x, y, z: x + y - z, TREE, doubled, TREE) == doubled
    assert isinstance(tree_map(lambda x: x, TREE)[3][1], Pair)


def test_tree_map_refuses_trees_of_other_lengths():
    with pytest.raises(ValueError, match=r"shorter|longer"):
        tree_map(lambda x, y: x, (1, 2), (1,))


def test_names():
    assert leaf_key("2.0.weight") == "weight"
    assert leaf_key("weight") == "weight"
    assert is_statistic("1.running_mean")
    assert not is_statistic("running_.weight")


def tree_of(shapes):
    return {name: np.arange(1.0, 1 + np.prod(shape, dtype=int)).reshape(shape) for name, shape in shapes.items()}


def test_weights_come_first_and_what_decays_is_the_prefix():
    params = (
        tree_of({"bias": (3,), "weight": (5, 3)}),
        tree_of({"gain": (3,), "running_mean": (3,), "running_var": (3,)}),
        tree_of({"weight": (3, 50)}),
    )
    layout = Layout(params)
    assert layout.slots == {
        "0.weight": Slot(0, (5, 3)),
        "2.weight": Slot(64, (3, 50)),
        "0.bias": Slot(256, (3,)),
        "1.gain": Slot(320, (3,)),
    }
    assert layout.decayed == 256
    assert layout.size == 384
    assert layout.statistics == ("1.running_mean", "1.running_var")


@pytest.mark.parametrize("case", TRAINED)
def test_leaves_are_aligned_and_do_not_overlap(case):
    layout = Layout(layer_arrays(LAYERS[case](4), 4, 1, "float32")[0])
    end = 0
    for name, slot in layout.slots.items():
        assert slot.start % ALIGNMENT == 0
        assert end <= slot.start < end + ALIGNMENT
        assert (leaf_key(name) == "weight") == (slot.start < layout.decayed)
        end = slot.stop
    assert layout.size % ALIGNMENT == 0
    assert layout.decayed % ALIGNMENT == 0


@pytest.mark.parametrize("case", TRAINED)
@pytest.mark.parametrize("stack", [None, 3])
def test_flat_and_view_are_inverse(case, stack, xp):
    params, *_ = layer_arrays(LAYERS[case](4), 4, 1, "float32", members=stack)
    layout = Layout(params if stack is None else tree_map(lambda leaf: leaf[0], params))
    tree = xp.put(params)
    vector = layout.flat(tree)
    assert vector.shape == ((layout.size,) if stack is None else (3, layout.size))
    viewed = xp.get(layout.view(vector, layout.running(tree)))
    assert dict(named_leaves(viewed)).keys() == dict(named_leaves(params)).keys()
    tree_map(np.testing.assert_array_equal, viewed, params)
    # The padding is zero: every entry that is not zero belongs to a leaf.
    flat, host = NUMPY.put(xp.get(vector)), dict(named_leaves(params))
    filled = sum(np.count_nonzero(host[name]) for name in layout.slots)
    assert np.count_nonzero(flat) == filled


@pytest.mark.parametrize("case", TRAINED)
def test_views_share_the_memory_of_the_vector(case):
    params, *_ = layer_arrays(LAYERS[case](4), 4, 1, "float32")
    layout = Layout(params)
    vector = layout.flat(params)
    vector *= 2
    viewed = dict(named_leaves(layout.view(vector, layout.running(params))))
    for name in layout.slots:
        assert np.shares_memory(viewed[name], vector)
        np.testing.assert_array_equal(viewed[name], 2 * dict(named_leaves(params))[name])


def test_gradients_without_statistics_are_flattened_too():
    params = ({"weight": np.ones((2, 2)), "running_mean": np.ones(2)},)
    layout = Layout(params)
    vector = layout.flat(({"weight": np.full((2, 2), 7.0)},))
    assert vector.tolist() == [7.0] * 4 + [0.0] * 60
    assert layout.running(({"running_mean": 3},)) == (3,)
    with pytest.raises(ValueError, match="argument"):
        layout.view(vector)


def test_leaves_may_be_empty_or_scalar():
    params = {"weight": np.ones((0, 3)), "scale": np.asarray(2.0)}
    layout = Layout(params)
    vector = layout.flat(params)
    viewed = layout.view(vector)
    assert viewed["weight"].shape == (0, 3)
    assert viewed["scale"].shape == ()
    assert viewed["scale"] == 2.0


def test_no_parameters():
    layout = Layout(({}, ()))
    assert (layout.size, layout.decayed, layout.slots) == (0, 0, {})
    with pytest.raises(ValueError, match="without parameters"):
        layout.flat(({}, ()))
