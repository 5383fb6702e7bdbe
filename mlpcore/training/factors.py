"""Factors of the learning rate and of the weight decay, one for each leaf, see `mlpcore.layers.Rates`."""

from itertools import groupby
from typing import Any, NamedTuple

from array_api_compat import device as device_of

from mlpcore.layers.containers import children
from mlpcore.namespace import namespace
from mlpcore.trees import Layout, leaf_key
from mlpcore.typing import Array, Layer


class Factors(NamedTuple):
    """The factors of all leaves in the order of the layout; () where they are the usual ones, which cost nothing.

    ``rates`` multiply the step of a leaf. ``decays`` are products of both factors: a leaf is multiplied by
    ``1 - rate * weight_decay * decay``. The usual decays are 1 for leaves named ``weight`` and 0 for all others.
    """

    rates: tuple[float, ...] = ()
    decays: tuple[float, ...] = ()


USUAL = Factors()


def factors_of(net: Layer, layout: Layout) -> Factors:
    """The factors that the layers of a network say for their leaves by a method ``leaf_factors``."""
    usual = {name: (1.0, float(leaf_key(name) == "weight")) for name in layout.slots}
    factors = dict(usual)

    def apply(layer: Any, prefix: str) -> None:
        for i, child in enumerate(children(layer)):
            apply(child, f"{prefix}{i}.")
        if hasattr(layer, "leaf_factors"):
            for name in filter(lambda name: name.startswith(prefix), factors):
                factors[name] = layer.leaf_factors(leaf_key(name), *factors[name])

    apply(net, "")
    if factors == usual:
        return USUAL
    rates = tuple(rate for rate, _ in factors.values())
    return Factors(rates if set(rates) != {1.0} else (), tuple(rate * decay for rate, decay in factors.values()))


def of_entries(values: tuple[float, ...], layout: Layout, like: Array) -> Array:
    """A vector (P,) with the value of a leaf for each of its entries and its padding, in the dtype of ``like``."""
    xp, parts = namespace(like), list[Array]()
    starts = [slot.start for slot in layout.slots.values()]
    lengths = [stop - start for start, stop in zip(starts, [*starts[1:], layout.size], strict=True)]
    for value, group in groupby(zip(values, lengths, strict=True), key=lambda pair: pair[0]):
        length = sum(length for _, length in group)
        parts.append(xp.full((length,), value, dtype=like.dtype, device=device_of(like)))
    return xp.concat(parts, axis=-1)
