"""A forward and a backward pass of one layer, and numbers for it."""

import numpy as np

from mlpcore.random import Stream

EPS = np.finfo(float).eps
STREAM = Stream(3, "1", step=4)
# The constants of SELU, from the paper.
ALPHA, SCALE = 1.6732632423543772848170429916717, 1.0507009873554804934193349852946


def run(layer, x, dy=None, training=None, **params):
    """``(y, dx, dparams, cache)`` with the initial parameters, or those given."""
    params = layer.init(STREAM, str(x.dtype)) | params
    y, cache = layer.forward(params, x, training)
    return y, *layer.backward(params, cache, np.ones_like(y) if dy is None else dy), cache


def normal(*shape):
    return Stream(0, "x").normal(shape)
