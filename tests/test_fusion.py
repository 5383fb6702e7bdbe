"""Fused networks: the same trees, the same numbers and the same way back."""

import numpy as np
import pytest
from libraries import Library
from members import LAYERS, layer_arrays, parts_of

import mlpcore as mc
from mlpcore.layers.containers import observe
from mlpcore.layers.fusion import Fused, fuse
from mlpcore.random import Stream
from mlpcore.trees import named_leaves

CASES = LAYERS | {
    "perceptron": lambda w: mc.Sequential(mc.Linear(w, 6), mc.ReLU(), mc.Linear(6, 5), mc.GELU(), mc.Linear(5, 2)),
    "no bias, two activations, dropout": lambda w: mc.Sequential(
        mc.Linear(w, 6, bias=False), mc.Tanh(), mc.Linear(6, 5), mc.SiLU(), mc.ReLU(), mc.Dropout(0.5), mc.Softmax()
    ),
    "an activation at the end": lambda w: mc.Sequential(mc.Residual(mc.Sequential(mc.Linear(w, w), mc.Softmax()))),
}


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("members", [None, 2])
def test_a_fused_network_gives_the_bits_of_the_network(case, members, xp: Library):
    net = CASES[case](4)
    fused = fuse(net)
    assert fused.row_independent == net.row_independent and fused.widths(4) == net.widths(4)
    host = layer_arrays(net, 4, 5, "float64", members=members)
    with xp.scope("float64"):
        params, x, noise, _ = (xp.put(part) for part in host)
        for draws in (noise, None):
            y, cache = net.forward(params, x, draws)
            plain = y, cache, net.backward(params, cache, y), observe(net, params, cache)
            z, store = fused.forward(params, x, draws)
            made = z, store, fused.backward(params, store, z), observe(fused, params, store)
            for (name, one), (other_name, other) in zip(named_leaves(made), named_leaves(plain), strict=True):
                assert name == other_name and (one is None) == (other is None)
                assert one is None or np.array_equal(xp.to_numpy(one), xp.to_numpy(other))


def test_what_is_fused():
    """Sequentials at any depth, and nothing else; parameters and noise are drawn as before."""
    net = LAYERS["nested"](4)
    kinds = [type(part).__name__ for part in parts_of(net)]
    assert "Sequential" in kinds and fuse(mc.Linear(2, 3)) == mc.Linear(2, 3)
    fused = fuse(net)
    assert isinstance(fused, Fused) and isinstance(fused.plain.layers[1].layer, Fused)
    for drawn in (lambda n: n.init(Stream(0), "float32"), lambda n: n.noise(Stream(0), (3, 4), "float32")):
        for (name, one), (other_name, other) in zip(named_leaves(drawn(net)), named_leaves(drawn(fused)), strict=True):
            assert name == other_name and np.array_equal(one, other)
