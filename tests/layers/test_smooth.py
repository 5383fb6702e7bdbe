"""GELU's two forms, and Softplus for large x."""

import math

import numpy as np
from single_layer import run

from mlpcore.layers import GELU, Softplus


def test_gelu_forms_are_close():
    x = np.linspace(-10, 10, 2001)
    gates = [layer.activate(x)[1][1] for layer in (GELU(), GELU("tanh"))]
    assert 1e-4 < np.max(np.abs(gates[0] - gates[1])) < 5e-4


def test_softplus_does_not_become_linear():
    assert run(Softplus(), np.asarray([21.0]))[0][0] == 21 + math.log1p(math.exp(-21)) > 21
