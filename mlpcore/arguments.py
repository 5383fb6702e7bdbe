"""Checks of the arguments of `mlpcore.Model`."""

from collections.abc import Iterable
from typing import Any

from mlpcore.configuration import check_choice, check_number
from mlpcore.errors import ConfigurationError
from mlpcore.layers import Sigmoid, Softmax
from mlpcore.layers.containers import lacks, last_layer
from mlpcore.losses import SigmoidCrossEntropy, SoftmaxCrossEntropy
from mlpcore.metrics import Metric, get_metric
from mlpcore.training.rules import Rules
from mlpcore.typing import Layer, Loss, Optimizer, follows

_EXAMPLES = {
    "net": "a layer like Sequential(Linear(2, 3), ReLU())",
    "loss": "a loss like SquaredError()",
    "optimizer": "an optimizer like Adam(1e-3)",
}
# The layer that computes the link of a loss.
_LINK_LAYERS: dict[type, type] = {SoftmaxCrossEntropy: Softmax, SigmoidCrossEntropy: Sigmoid}


def check_arguments(net: Any, loss: Any, optimizer: Any, dtype: Any, seed: Any, rules: Rules) -> None:
    """Raise a ConfigurationError that names the first argument that is invalid or does not fit the others."""
    for role, value, kind in (("net", net, Layer), ("loss", loss, Loss), ("optimizer", optimizer, Optimizer)):
        if not follows(value, kind):
            missing = lacks(value) if role == "net" else ""
            raise ConfigurationError(f"Model: {role} is {value!r}{missing}, expected {_EXAMPLES[role]}")
    _check_ending(net, loss)
    _check_outputs(net, loss)
    check_choice("Model", ("float32", "float64"), dtype=dtype)
    if isinstance(seed, bool) or not isinstance(seed, int) or not 0 <= seed < 1 << 64:
        raise ConfigurationError(f"Model: seed is {seed!r}, expected a whole number from 0 to 2^64 - 1")
    check_number("Model", l2=rules.l2, least=0)
    clips = {"clip_norm": rules.clip_norm, "clip_value": rules.clip_value}
    check_number("Model", above=0, **{name: value for name, value in clips.items() if value is not None})
    if rules.ema is not None:
        check_number("Model", ema=rules.ema, least=0, below=1)


def named_metrics(metrics: Any) -> dict[str, Metric]:
    """The metrics by name; ConfigurationError for an unknown metric and for two of the same name."""
    if isinstance(metrics, str) or not isinstance(metrics, Iterable):
        raise ConfigurationError(f"Model: metrics is {metrics!r}, expected a list such as ['accuracy']")
    named: dict[str, Metric] = {}
    for name, metric in map(get_metric, metrics):
        if name in named or name == "loss":
            raise ConfigurationError(
                f"Model: metrics has {'a second ' if name in named else ''}{name!r}, expected names that differ from "
                "each other and from 'loss'; write functions with def, each under a name of its own"
            )
        named[name] = metric
    return named


def _check_outputs(net: Layer, loss: Loss) -> None:
    """ConfigurationError if the network's output width is known and fits the loss for no number of target columns."""
    width = net.output_width(None)
    if width is not None and not any(loss.outputs(columns) == width for columns in range(width, 0, -1)):
        raise ConfigurationError(
            f"Model: the network gives {width} columns, but {loss!r} takes {loss.outputs(1)} for one column of y, "
            f"{loss.outputs(2)} for two; change the last layer"
        )


def _check_ending(net: Layer, loss: Loss) -> None:
    """ConfigurationError if the network ends in the layer that computes the link of the loss."""
    last = last_layer(net)
    if type(last) is _LINK_LAYERS.get(type(loss)):
        raise ConfigurationError(
            f"Model: the network ends in {last!r}, but {loss!r} takes raw scores and applies its link itself; "
            f"leave the last layer out, predict still applies {type(last).__name__}"
        )
