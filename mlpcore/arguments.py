"""The checks of what a model is made of."""

from typing import Any

from mlpcore.configuration import check_choice, check_number
from mlpcore.errors import ConfigurationError
from mlpcore.layers import Sequential, Sigmoid, Softmax
from mlpcore.losses import SigmoidCrossEntropy, SoftmaxCrossEntropy
from mlpcore.training.step import Rules
from mlpcore.typing import Layer, Loss, Optimizer

_LIKE = {"net": "Sequential(Linear(2, 3))", "loss": "SquaredError()", "optimizer": "Adam(1e-3)"}
_OWN_ENDING = {SoftmaxCrossEntropy: Softmax, SigmoidCrossEntropy: Sigmoid}


def check_arguments(net: Any, loss: Any, optimizer: Any, dtype: Any, seed: Any, rules: Rules) -> None:
    """A ConfigurationError that names the first argument that cannot work, alone or with the others."""
    for role, value, kind in (("net", net, Layer), ("loss", loss, Loss), ("optimizer", optimizer, Optimizer)):
        if isinstance(value, type) or not isinstance(value, kind):
            raise ConfigurationError(f"Model: {role} is {value!r}, expected {kind.__name__.lower()} like {_LIKE[role]}")
    _check_ending(net, loss)
    check_choice("Model", ("float32", "float64"), dtype=dtype)
    if isinstance(seed, bool) or not isinstance(seed, int) or not 0 <= seed < 1 << 64:
        raise ConfigurationError(f"Model: seed is {seed!r}, expected a whole number from 0 to 2^64 - 1")
    check_number("Model", l2=rules.l2, least=0)
    clips = {"clip_norm": rules.clip_norm, "clip_value": rules.clip_value}
    check_number("Model", above=0, **{name: value for name, value in clips.items() if value is not None})
    if rules.ema is not None:
        check_number("Model", ema=rules.ema, least=0, below=1)


def _check_ending(net: Layer, loss: Loss) -> None:
    """A loss on raw scores must not be fed what its own link made of them."""
    last = net
    while isinstance(last, Sequential) and last.layers:
        last = last.layers[-1]
    if type(last) is _OWN_ENDING.get(type(loss)):
        raise ConfigurationError(
            f"Model: the network ends in {last!r}, but {loss!r} takes raw scores and applies its link itself; "
            f"leave the last layer out, predict gives what it would have given"
        )
